//! Whether a challenger becomes champion. Pure: figures in, a decision with its reason out.

use serde::{Deserialize, Serialize};

use crate::evaluation::Metrics;

/// What to do with a challenger, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether it becomes champion.
    pub promote: bool,
    /// For people and for the record.
    pub reason: String,
}

/// Judges `challenger` against `champion`, both measured on the same rows. The first model becomes champion, a
/// later one only if it is better.
pub fn decide(champion: Option<&Metrics>, challenger: &Metrics) -> Decision {
    let (name, challenger_figure) = challenger.figures.deciding();
    if challenger.rows == 0 || !challenger_figure.is_finite() {
        let reason =
            format!("refused: {name} {challenger_figure} on {} rows is no measurement", challenger.rows);
        return Decision { promote: false, reason };
    }
    let Some(champion) = champion else {
        let reason = format!("first champion: {name} {challenger_figure:.6} on {} rows", challenger.rows);
        return Decision { promote: true, reason };
    };
    let (_, champion_figure) = champion.figures.deciding();
    let promote = challenger_figure < champion_figure;
    let verdict = if promote { "promoted" } else { "kept the champion" };
    let reason = format!(
        "{verdict}: {name} {challenger_figure:.6} against the champion's {champion_figure:.6} on the same {} rows",
        challenger.rows
    );
    Decision { promote, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::Figures;

    fn tip(log_loss: f64) -> Metrics {
        Metrics {
            rows: 10,
            figures: Figures::Tip { auc: 0.5, log_loss, brier: 0.2, base_rate: 0.5, ece: None },
        }
    }

    fn check(champion: Option<f64>, challenger: f64, promote: bool, reason: &str) {
        let decision = decide(champion.map(tip).as_ref(), &tip(challenger));
        assert_eq!(decision.promote, promote, "{decision:?}");
        assert!(decision.reason.contains(reason), "{decision:?} should say {reason:?}");
    }

    #[test]
    fn the_first_is_champion_and_a_later_one_must_be_better() {
        check(None, 0.5, true, "first champion: log_loss 0.500000 on 10 rows");
        check(Some(0.5), 0.4, true, "promoted: log_loss 0.400000 against the champion's 0.500000");
        check(Some(0.5), 0.5, false, "kept the champion");
        check(Some(0.5), 0.6, false, "kept the champion");
        check(None, f64::NAN, false, "no measurement");
        check(Some(f64::NAN), 0.6, false, "kept the champion");
    }
}
