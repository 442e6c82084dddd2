//! GPU clock controllers.
use super::{Table, branch, domain_by, kept, unseen, voted};

pub(super) static QCM2290_GPUCC: Table = Table {
    compatible: "qcom,qcm2290-gpucc",
    clocks: &[
        voted(12, 0x5000), // gpu_cc_hlos1_vote_gpu_smmu_clk
    ],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // gpu_cx_gdsc
    ],
};

pub(super) static SA8775P_GPUCC: Table = Table {
    compatible: "qcom,sa8775p-gpucc",
    clocks: &[
        unseen(2, 0x911c),  // gpu_cc_ahb_clk
        branch(6, 0x913c),  // gpu_cc_cx_gmu_clk
        voted(14, 0x7000),  // gpu_cc_hlos1_vote_gpu_smmu_clk
        branch(16, 0x93e8), // gpu_cc_hub_aon_clk
        branch(18, 0x9148), // gpu_cc_hub_cx_int_clk
    ],
    domains: &[
        domain_by(0, 0x9108, 0x953c), // cx_gdsc
    ],
};

pub(super) static SC7180_GPUCC: Table = Table {
    compatible: "qcom,sc7180-gpucc",
    clocks: &[],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // cx_gdsc
    ],
};

pub(super) static SC7280_GPUCC: Table = Table {
    compatible: "qcom,sc7280-gpucc",
    clocks: &[
        unseen(2, 0x1078),  // gpu_cc_ahb_clk
        branch(5, 0x1098),  // gpu_cc_cx_gmu_clk
        voted(11, 0x5000),  // gpu_cc_hlos1_vote_gpu_smmu_clk
        branch(13, 0x1178), // gpu_cc_hub_aon_clk
        branch(15, 0x1204), // gpu_cc_hub_cx_int_clk
    ],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // cx_gdsc
    ],
};

pub(super) static SC8180X_GPUCC: Table = Table {
    compatible: "qcom,sc8180x-gpucc",
    clocks: &[
        unseen(0, 0x1078), // gpu_cc_ahb_clk
    ],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // gpu_cx_gdsc
    ],
};

pub(super) static SC8280XP_GPUCC: Table = Table {
    compatible: "qcom,sc8280xp-gpucc",
    clocks: &[
        unseen(2, 0x1078),  // gpu_cc_ahb_clk
        branch(5, 0x1098),  // gpu_cc_cx_gmu_clk
        branch(14, 0x1178), // gpu_cc_hub_aon_clk
        branch(16, 0x1204), // gpu_cc_hub_cx_int_clk
        voted(19, 0x5000),  // gpu_cc_hlos1_vote_gpu_smmu_clk
    ],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // cx_gdsc
    ],
};

pub(super) static SDM845_GPUCC: Table = Table {
    compatible: "qcom,sdm845-gpucc",
    clocks: &[],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // gpu_cx_gdsc
    ],
};

pub(super) static SM6115_GPUCC: Table = Table {
    compatible: "qcom,sm6115-gpucc",
    clocks: &[
        voted(16, 0x5000), // gpu_cc_hlos1_vote_gpu_smmu_clk
    ],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // gpu_cx_gdsc
    ],
};

pub(super) static SM6350_GPUCC: Table = Table {
    compatible: "qcom,sm6350-gpucc",
    clocks: &[
        kept(4, 0x1078), // gpu_cc_ahb_clk
    ],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // gpu_cx_gdsc
    ],
};

pub(super) static SM6375_GPUCC: Table = Table {
    compatible: "qcom,sm6375-gpucc",
    clocks: &[],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // gpu_cx_gdsc
    ],
};

pub(super) static SM8150_GPUCC: Table = Table {
    compatible: "qcom,sm8150-gpucc",
    clocks: &[
        unseen(0, 0x1078), // gpu_cc_ahb_clk
    ],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // gpu_cx_gdsc
    ],
};

pub(super) static SM8250_GPUCC: Table = Table {
    compatible: "qcom,sm8250-gpucc",
    clocks: &[
        unseen(0, 0x1078), // gpu_cc_ahb_clk
    ],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // gpu_cx_gdsc
    ],
};

pub(super) static SM8350_GPUCC: Table = Table {
    compatible: "qcom,sm8350-gpucc",
    clocks: &[
        unseen(0, 0x1078),  // gpu_cc_ahb_clk
        branch(4, 0x1098),  // gpu_cc_cx_gmu_clk
        voted(16, 0x5000),  // gpu_cc_hlos1_vote_gpu_smmu_clk
        branch(18, 0x1178), // gpu_cc_hub_aon_clk
        branch(20, 0x1204), // gpu_cc_hub_cx_int_clk
    ],
    domains: &[
        domain_by(0, 0x106c, 0x1540), // gpu_cx_gdsc
    ],
};

pub(super) static SM8450_GPUCC: Table = Table {
    compatible: "qcom,sm8450-gpucc",
    clocks: &[
        unseen(0, 0x911c),  // gpu_cc_ahb_clk
        branch(4, 0x913c),  // gpu_cc_cx_gmu_clk
        voted(18, 0x7000),  // gpu_cc_hlos1_vote_gpu_smmu_clk
        branch(22, 0x9148), // gpu_cc_hub_cx_int_clk
    ],
    domains: &[
        domain_by(1, 0x9108, 0x953c), // gpu_cx_gdsc
    ],
};

pub(super) static SM8550_GPUCC: Table = Table {
    compatible: "qcom,sm8550-gpucc",
    clocks: &[
        unseen(0, 0x911c), // gpu_cc_ahb_clk
        voted(11, 0x7000), // gpu_cc_hlos1_vote_gpu_smmu_clk
    ],
    domains: &[
        domain_by(0, 0x9108, 0x953c), // gpu_cc_cx_gdsc
    ],
};

pub(super) static SM8650_GPUCC: Table = Table {
    compatible: "qcom,sm8650-gpucc",
    clocks: &[
        unseen(0, 0x911c), // gpu_cc_ahb_clk
        voted(18, 0x7000), // gpu_cc_hlos1_vote_gpu_smmu_clk
    ],
    domains: &[
        domain_by(1, 0x9108, 0x9168), // gpu_cx_gdsc
    ],
};

pub(super) static X1E80100_GPUCC: Table = Table {
    compatible: "qcom,x1e80100-gpucc",
    clocks: &[
        voted(0, 0x911c),  // gpu_cc_ahb_clk
        voted(14, 0x7000), // gpu_cc_hlos1_vote_gpu_smmu_clk
    ],
    domains: &[
        domain_by(0, 0x9108, 0x953c), // gpu_cx_gdsc
    ],
};
