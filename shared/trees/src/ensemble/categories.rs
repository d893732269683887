//! Sets of category codes, stored as bits.

use serde::{Deserialize, Serialize};

/// A set of category codes, each below [`Categories::LIMIT`]. The category of a feature value is its integer part;
/// values of -1 and below have none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Categories {
    /// Bit `code % 32` of word `code / 32`; the last word is not 0.
    words: Vec<u32>,
}

impl Categories {
    /// Upper bound of codes, exclusive: larger values are not treated as categories.
    pub const LIMIT: u32 = 1 << 16;

    /// Makes the set of `codes`.
    ///
    /// # Errors
    /// The first code that is not below [`Categories::LIMIT`].
    pub fn new(codes: impl IntoIterator<Item = u32>) -> Result<Self, u32> {
        let mut words = Vec::new();
        for code in codes {
            if code >= Self::LIMIT {
                return Err(code);
            }
            let word = (code / 32) as usize;
            if word >= words.len() {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << (code % 32);
        }
        Ok(Self { words })
    }

    /// Returns the category of `value`, if it has one.
    #[inline]
    pub fn code(value: f32) -> Option<u32> {
        // LightGBM also truncates -0.5 to 0. XGBoost does not: see `import::Reading::NegativeIsNoCategory`.
        (value > -1.0 && value < Self::LIMIT as f32).then_some(value as u32)
    }

    /// Returns whether the set contains the category of `value`; a missing value has none.
    #[inline]
    pub fn contain(&self, value: f32) -> bool {
        Self::code(value).is_some_and(|code| self.contain_code(code))
    }

    /// Returns whether the set contains `code`.
    #[inline]
    pub fn contain_code(&self, code: u32) -> bool {
        self.words.get((code / 32) as usize).is_some_and(|word| word >> (code % 32) & 1 == 1)
    }

    /// Returns the codes in ascending order.
    pub fn codes(&self) -> impl Iterator<Item = u32> {
        let end = self.words.len() as u32 * 32;
        (0..end).filter(|&code| self.contain_code(code))
    }

    /// Returns one more than the largest code; 0 for the empty set.
    pub fn end(&self) -> u32 {
        self.codes().last().map_or(0, |code| code + 1)
    }
}

impl TryFrom<Vec<u32>> for Categories {
    type Error = String;
    fn try_from(codes: Vec<u32>) -> Result<Self, String> {
        Self::new(codes).map_err(|code| format!("category {code}: expected less than {}", Self::LIMIT))
    }
}

impl From<Categories> for Vec<u32> {
    fn from(categories: Categories) -> Self {
        categories.codes().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_mean_categories_as_the_libraries_read_them() {
        let set = Categories::new([0, 31, 32, 265]).unwrap();
        for (value, expected) in [
            (0.0, true),
            (-0.5, true),
            (0.9, true),
            (1.0, false),
            (31.0, true),
            (32.7, true),
            (265.0, true),
            (266.0, false),
            (-1.0, false),
            (1e30, false),
            (f32::NAN, false),
            (f32::INFINITY, false),
            (f32::NEG_INFINITY, false),
        ] {
            assert_eq!(set.contain(value), expected, "{value}");
        }
        assert_eq!((set.codes().collect::<Vec<_>>(), set.end()), (vec![0, 31, 32, 265], 266));
        assert_eq!(Categories::new([Categories::LIMIT]), Err(Categories::LIMIT));
        assert_eq!(Categories::try_from(Vec::from(set.clone())), Ok(set));
    }
}
