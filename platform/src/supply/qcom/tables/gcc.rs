//! Global clock controllers.
use super::{Table, branch, kept, unseen, vote, voted};

pub(super) static GCC_MSM8996: Table = Table {
    compatible: "qcom,gcc-msm8996",
    clocks: &[
        branch(90, 0x9010),  // gcc_mmss_bimc_gfx_clk
        voted(219, 0x7d010), // gcc_hlos1_vote_lpass_core_smmu_clk
        voted(220, 0x7d014), // gcc_hlos1_vote_lpass_adsp_smmu_clk
    ],
    domains: &[
        vote(3, 0x7d038), // hlos1_vote_lpass_core_gdsc
    ],
};

pub(super) static GCC_MSM8998: Table = Table {
    compatible: "qcom,gcc-msm8998",
    clocks: &[
        unseen(75, 0x71010),  // gcc_gpu_bimc_gfx_clk
        kept(77, 0x71004),    // gcc_gpu_cfg_ahb_clk
        unseen(176, 0x46040), // gcc_bimc_gfx_clk
        voted(188, 0x7d014),  // hlos1_vote_lpass_adsp_smmu_clk
    ],
    domains: &[
        vote(3, 0x7d034), // hlos1_vote_lpass_adsp
    ],
};

pub(super) static GCC_QCM2290: Table = Table {
    compatible: "qcom,gcc-qcm2290",
    clocks: &[
        voted(87, 0x3600c),  // gcc_gpu_memnoc_gfx_clk
        branch(88, 0x36018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static GCC_SC7180: Table = Table {
    compatible: "qcom,gcc-sc7180",
    clocks: &[
        kept(35, 0x71004),  // gcc_gpu_cfg_ahb_clk
        voted(38, 0x7100c), // gcc_gpu_memnoc_gfx_clk
    ],
    domains: &[],
};

pub(super) static GCC_SC7280: Table = Table {
    compatible: "qcom,gcc-sc7280",
    clocks: &[
        voted(37, 0x7100c),  // gcc_gpu_memnoc_gfx_clk
        branch(38, 0x71018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[
        vote(5, 0x7d050), // hlos1_vote_mmnoc_mmu_tbu_hf0_gdsc
        vote(6, 0x7d058), // hlos1_vote_mmnoc_mmu_tbu_hf1_gdsc
        vote(7, 0x7d054), // hlos1_vote_mmnoc_mmu_tbu_sf0_gdsc
        vote(8, 0x7d05c), // hlos1_vote_turing_mmu_tbu0_gdsc
        vote(9, 0x7d060), // hlos1_vote_turing_mmu_tbu1_gdsc
    ],
};

pub(super) static GCC_SC8180X: Table = Table {
    compatible: "qcom,gcc-sc8180x",
    clocks: &[
        voted(38, 0x7100c),  // gcc_gpu_memnoc_gfx_clk
        branch(39, 0x71018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static GCC_SC8280XP: Table = Table {
    compatible: "qcom,gcc-sc8280xp",
    clocks: &[
        voted(77, 0x71010),  // gcc_gpu_memnoc_gfx_clk
        branch(78, 0x71020), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static GCC_SDM630: Table = Table {
    compatible: "qcom,gcc-sdm630",
    clocks: &[
        voted(22, 0x7106c), // gcc_bimc_gfx_clk
        voted(54, 0x71010), // gcc_gpu_bimc_gfx_clk
        kept(55, 0x71004),  // gcc_gpu_cfg_ahb_clk
    ],
    domains: &[],
};

pub(super) static GCC_SDM660: Table = Table {
    compatible: "qcom,gcc-sdm660",
    clocks: &[
        voted(22, 0x7106c), // gcc_bimc_gfx_clk
        voted(54, 0x71010), // gcc_gpu_bimc_gfx_clk
        kept(55, 0x71004),  // gcc_gpu_cfg_ahb_clk
    ],
    domains: &[],
};

pub(super) static GCC_SDM845: Table = Table {
    compatible: "qcom,gcc-sdm845",
    clocks: &[
        branch(0, 0x90014), // gcc_aggre_noc_pcie_tbu_clk
        kept(30, 0x71004),  // gcc_gpu_cfg_ahb_clk
        voted(33, 0x7100c), // gcc_gpu_memnoc_gfx_clk
    ],
    domains: &[
        vote(6, 0x7d030),  // hlos1_vote_aggre_noc_mmu_audio_tbu_gdsc
        vote(7, 0x7d03c),  // hlos1_vote_aggre_noc_mmu_pcie_tbu_gdsc
        vote(8, 0x7d034),  // hlos1_vote_aggre_noc_mmu_tbu1_gdsc
        vote(9, 0x7d038),  // hlos1_vote_aggre_noc_mmu_tbu2_gdsc
        vote(10, 0x7d040), // hlos1_vote_mmnoc_mmu_tbu_hf0_gdsc
        vote(11, 0x7d048), // hlos1_vote_mmnoc_mmu_tbu_hf1_gdsc
        vote(12, 0x7d044), // hlos1_vote_mmnoc_mmu_tbu_sf_gdsc
    ],
};

pub(super) static GCC_SM6115: Table = Table {
    compatible: "qcom,gcc-sm6115",
    clocks: &[
        voted(76, 0x3600c),  // gcc_gpu_memnoc_gfx_clk
        branch(77, 0x36018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static GCC_SM6350: Table = Table {
    compatible: "qcom,gcc-sm6350",
    clocks: &[
        voted(45, 0x4500c),  // gcc_gpu_memnoc_gfx_clk
        branch(46, 0x45014), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static GCC_SM8150: Table = Table {
    compatible: "qcom,gcc-sm8150",
    clocks: &[
        voted(40, 0x7100c),  // gcc_gpu_memnoc_gfx_clk
        branch(41, 0x71018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static GCC_SM8250: Table = Table {
    compatible: "qcom,gcc-sm8250",
    clocks: &[
        voted(37, 0x7100c),  // gcc_gpu_memnoc_gfx_clk
        branch(38, 0x71018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static GCC_SM8350: Table = Table {
    compatible: "qcom,gcc-sm8350",
    clocks: &[
        voted(42, 0x7100c),  // gcc_gpu_memnoc_gfx_clk
        branch(43, 0x71018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static GCC_SM8450: Table = Table {
    compatible: "qcom,gcc-sm8450",
    clocks: &[
        voted(45, 0x81010),  // gcc_gpu_memnoc_gfx_clk
        unseen(46, 0x81018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static SA8775P_GCC: Table = Table {
    compatible: "qcom,sa8775p-gcc",
    clocks: &[
        voted(62, 0x7d010),  // gcc_gpu_memnoc_gfx_clk
        unseen(63, 0x7d01c), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static SM6375_GCC: Table = Table {
    compatible: "qcom,sm6375-gcc",
    clocks: &[
        voted(99, 0x3600c), // gcc_gpu_memnoc_gfx_clk
    ],
    domains: &[
        vote(5, 0x7d078), // hlos1_vote_mm_snoc_mmu_tbu_nrt_gdsc
        vote(6, 0x7d074), // hlos1_vote_mm_snoc_mmu_tbu_rt_gdsc
        vote(7, 0x7d07c), // hlos1_vote_turing_mmu_tbu0_gdsc
    ],
};

pub(super) static SM8550_GCC: Table = Table {
    compatible: "qcom,sm8550-gcc",
    clocks: &[
        voted(32, 0x71010),  // gcc_gpu_memnoc_gfx_clk
        unseen(33, 0x71018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static SM8650_GCC: Table = Table {
    compatible: "qcom,sm8650-gcc",
    clocks: &[
        voted(34, 0x71010),  // gcc_gpu_memnoc_gfx_clk
        unseen(35, 0x71018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};

pub(super) static X1E80100_GCC: Table = Table {
    compatible: "qcom,x1e80100-gcc",
    clocks: &[
        voted(55, 0x71010),  // gcc_gpu_memnoc_gfx_clk
        branch(56, 0x71018), // gcc_gpu_snoc_dvm_gfx_clk
    ],
    domains: &[],
};
