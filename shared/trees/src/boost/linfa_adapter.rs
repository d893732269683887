//! linfa's traits `Fit` and `PredictInplace` for boosting.

use linfa::DatasetBase;
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, Axis, Data, Ix1, Ix2};

use super::{BoostError, Boosted, Labelled, ValidBoostParams, go_on};

impl<X, Y> Fit<ArrayBase<X, Ix2>, ArrayBase<Y, Ix1>, BoostError> for ValidBoostParams
where
    X: Data<Elem = f32>,
    Y: Data<Elem = f32>,
{
    type Object = Boosted;

    /// Fits with the dataset's weights, without validation rows, on at most as many threads as there are processors.
    fn fit(
        &self,
        dataset: &DatasetBase<ArrayBase<X, Ix2>, ArrayBase<Y, Ix1>>,
    ) -> Result<Boosted, BoostError> {
        let values: Vec<f32> = dataset.records.iter().copied().collect();
        let labels: Vec<f32> = dataset.targets.iter().copied().collect();
        let weights = dataset.weights().map(<[f32]>::to_vec);
        let n_features = dataset.records.ncols();
        let rows = Labelled { values: &values, n_features, labels: &labels, weights: weights.as_deref() };
        Self::fit(self, &rows, None, 0, &mut go_on)
    }
}

impl<X: Data<Elem = f32>> PredictInplace<ArrayBase<X, Ix2>, Array1<f64>> for Boosted {
    fn predict_inplace(&self, rows: &ArrayBase<X, Ix2>, answers: &mut Array1<f64>) {
        for (row, answer) in rows.axis_iter(Axis(0)).zip(answers.iter_mut()) {
            let row: Vec<f32> = row.iter().copied().collect();
            *answer = self.objective.answer(self.ensemble.predict_row(&row));
        }
    }

    fn default_target(&self, rows: &ArrayBase<X, Ix2>) -> Array1<f64> {
        Array1::zeros(rows.nrows())
    }
}
