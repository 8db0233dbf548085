use nalgebra::{DMatrix, DVector};

/// One example of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// The features, in the order of the fitted weights.
    pub features: Vec<f64>,
    /// Whether the example is a copy.
    pub positive: bool,
    /// Weight of the example; above 0.
    pub weight: f64,
}

/// A fitted logistic regression.
#[derive(Debug, Clone, PartialEq)]
pub struct Logistic {
    /// The intercept.
    pub bias: f64,
    /// One weight per feature.
    pub weights: Vec<f64>,
}

/// Most iterations of Newton's method, which converges in about ten.
const ROUNDS: usize = 60;

impl Logistic {
    /// Fits by Newton's method with a penalty of `ridge / 2` times the squared weights (without the bias), which keeps
    /// the fit finite where the classes do not overlap. `None` unless there are examples of both classes.
    #[must_use]
    pub fn fit(observations: &[Observation], ridge: f64) -> Option<Self> {
        let width = observations.first()?.features.len();
        let positives = observations.iter().filter(|o| o.positive).count();
        if positives == 0 || positives == observations.len() {
            return None;
        }
        let mut beta = DVector::<f64>::zeros(width + 1);
        for _ in 0..ROUNDS {
            let (mut gradient, mut hessian) = penalty(&beta, ridge);
            for observation in observations {
                let x =
                    DVector::from_iterator(width + 1, std::iter::once(1.0).chain(observation.features.iter().copied()));
                let p = sigmoid(beta.dot(&x));
                gradient.axpy(observation.weight * (f64::from(u8::from(observation.positive)) - p), &x, 1.0);
                // Bounded below, because it vanishes where the fit is certain and the step must stay finite.
                hessian.syger(observation.weight * (p * (1.0 - p)).max(1e-9), &x, &x, 1.0);
            }
            hessian.fill_upper_triangle_with_lower_triangle();
            let step = hessian.cholesky()?.solve(&gradient);
            // Long steps overshoot where the classes hardly overlap.
            let length = step.amax();
            beta += if length > 3.0 { step * (3.0 / length) } else { step };
            if length < 1e-9 {
                break;
            }
        }
        Some(Self { bias: beta[0], weights: beta.iter().skip(1).copied().collect() })
    }
}

fn penalty(beta: &DVector<f64>, ridge: f64) -> (DVector<f64>, DMatrix<f64>) {
    let mut gradient = beta * -ridge;
    let mut hessian = DMatrix::identity(beta.len(), beta.len()) * ridge;
    gradient[0] = 0.0;
    hessian[(0, 0)] = 1e-9;
    (gradient, hessian)
}

const MOST_SHIFT: f64 = 3.0;

/// The amount to add to a brand's log-odds: the mode of the posterior given its outcomes, under a normal prior with
/// mean 0 and standard deviation `spread`. Without outcomes it is 0. It stays within -3 to 3, because outcomes that ask
/// for more are about something other than copies.
#[must_use]
pub fn shift(outcomes: &[(f64, bool)], spread: f64) -> f64 {
    let mut shift = 0.0;
    for _ in 0..ROUNDS {
        let (mut gradient, mut curvature) = (-shift / spread.powi(2), 1.0 / spread.powi(2));
        for &(log_odds, confirmed) in outcomes {
            let p = sigmoid(log_odds + shift);
            gradient += f64::from(u8::from(confirmed)) - p;
            curvature += p * (1.0 - p);
        }
        let step: f64 = (gradient / curvature).clamp(-2.0, 2.0);
        shift += step;
        if step.abs() < 1e-10 {
            break;
        }
    }
    shift.clamp(-MOST_SHIFT, MOST_SHIFT)
}

/// `1 / (1 + exp(-x))`.
#[must_use]
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The inverse of [`sigmoid`]; probabilities are clamped to 1e-6 from 0 and 1.
#[must_use]
pub fn log_odds(probability: f64) -> f64 {
    let inside = probability.clamp(1e-6, 1.0 - 1e-6);
    (inside / (1.0 - inside)).ln()
}
