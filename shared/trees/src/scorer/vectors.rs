//! The vector instructions that the inner loops choose from.

/// Sets of instructions, each with those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Vectors {
    /// Those that every processor of the kind has.
    Portable,
    /// AVX2, BMI1 and POPCNT.
    Avx2,
    /// AVX-512 for bytes (BW, VBMI) and for shorter vectors (VL).
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    Avx512,
}

/// Returns whether this processor takes vectors of 512 bits in two halves, as AMD's family 25 (Zen 4) does: there AVX2 scores an eighth more
/// rows in the same time, and a row alone takes no longer.
#[cfg(target_arch = "x86_64")]
fn halves_avx512() -> bool {
    use std::arch::x86_64::__cpuid;

    let (vendor, version) = (__cpuid(0), __cpuid(1).eax);
    let is_amd = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD";
    // Families above 15 are stated as 15 and what is above it.
    let family = ((version >> 8) & 0xf) + ((version >> 20) & 0xff);
    is_amd && family == 25
}

impl Vectors {
    /// Returns the largest set that this processor has.
    pub(super) fn of_this_processor() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("popcnt");
            let avx512 = !halves_avx512()
                && is_x86_feature_detected!("avx512bw")
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
