//! Multimedia clock controllers.
use super::{Table, always, branch, domain, domain_by, unseen, voted};

pub(super) static MMCC_MSM8996: Table = Table {
    compatible: "qcom,mmcc-msm8996",
    clocks: &[
        branch(78, 0x3c04),  // smmu_vfe_ahb_clk
        branch(79, 0x3c08),  // smmu_vfe_axi_clk
        branch(91, 0x2454),  // smmu_mdp_ahb_clk
        branch(92, 0x2458),  // smmu_mdp_axi_clk
        branch(98, 0x1174),  // smmu_video_ahb_clk
        branch(99, 0x1178),  // smmu_video_axi_clk
        branch(104, 0x403c), // gpu_ahb_clk
    ],
    domains: &[
        always(0, 0x119c, 0x120c),    // mmagic_video_gdsc
        always(2, 0x3c4c, 0x3c50),    // mmagic_camss_gdsc
        domain_by(3, 0x4034, 0x4038), // gpu_gdsc
        domain(13, 0x2304),           // mdss_gdsc
    ],
};

pub(super) static MMCC_MSM8998: Table = Table {
    compatible: "qcom,mmcc-msm8998",
    clocks: &[
        unseen(140, 0x5024), // mnoc_ahb_clk
        unseen(141, 0xe004), // bimc_smmu_ahb_clk
        unseen(142, 0xe008), // bimc_smmu_axi_clk
    ],
    domains: &[
        domain_by(9, 0xe020, 0xe024), // bimc_smmu_gdsc
    ],
};

pub(super) static MMCC_SDM630: Table = Table {
    compatible: "qcom,mmcc-sdm630",
    clocks: &[
        voted(37, 0xe004),  // bimc_smmu_ahb_clk
        voted(38, 0xe008),  // bimc_smmu_axi_clk
        voted(119, 0x5024), // mnoc_ahb_clk
    ],
    domains: &[],
};

pub(super) static MMCC_SDM660: Table = Table {
    compatible: "qcom,mmcc-sdm660",
    clocks: &[
        voted(37, 0xe004),  // bimc_smmu_ahb_clk
        voted(38, 0xe008),  // bimc_smmu_axi_clk
        voted(119, 0x5024), // mnoc_ahb_clk
    ],
    domains: &[],
};
