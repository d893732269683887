//! The vector instructions that the inner loops choose from.

/// Sets of instructions, each with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Vectors {
    /// Those that every processor of the kind has.
    Portable,
    /// AVX2, BMI1 and POPCNT.
    Avx2,
    /// AVX-512 for bytes (BW, VBMI) and for shorter vectors (VL).
    Avx512,
}

impl Vectors {
    /// Returns the largest set that this processor has.
    pub(super) fn of_this_processor() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("popcnt");
            let avx512 = is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vbmi");
            match (avx2, avx512) {
                (true, true) => Self::Avx512,
                (true, false) => Self::Avx2,
                (false, _) => Self::Portable,
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::Portable
    }

    /// Returns whether AVX2 is among them.
    pub(super) fn have_avx2(self) -> bool {
        self >= Self::Avx2
    }
}
