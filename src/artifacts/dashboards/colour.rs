//! What colours mean, and from which value on a value has which.

use serde::{Serialize, Serializer};

/// A colour that has a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Colour {
    /// All is well.
    Green,
    /// A low leak; something to know.
    Blue,
    /// A medium leak; a first warning.
    Yellow,
    /// A high leak; a warning.
    Orange,
    /// A critical leak; a page.
    Red,
    /// The past, and what has no meaning of its own.
    #[serde(rename = "#8e8e8e")]
    Grey,
}

/// Where the colour of a value comes from.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub(super) enum FieldColor {
    Thresholds,
    PaletteClassic,
    Fixed {
        #[serde(rename = "fixedColor")]
        color: Colour,
    },
}

/// From which value on it is how bad.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Thresholds {
    mode: ThresholdsMode,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum ThresholdsMode {
    Absolute,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Step {
    color: Colour,
    /// None is the least there is.
    value: Option<Number>,
}

/// Written without a point where it is whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number(pub(super) f64);

impl Thresholds {
    /// One colour for everything.
    pub(super) fn all(color: Colour) -> Self {
        Self::rising(color, [])
    }

    /// The higher, the worse. A step begins above nothing that is worse: which of two thresholds is lower is configuration.
    pub(super) fn rising<const N: usize>(well: Colour, worse: [(Colour, f64); N]) -> Self {
        let mut least = f64::INFINITY;
        let mut steps = Vec::with_capacity(N + 1);
        for (color, value) in worse.into_iter().rev() {
            if value < least {
                least = value;
                steps.push(Step {
                    color,
                    value: Some(Number(value)),
                });
            }
        }
        steps.push(Step {
            color: well,
            value: None,
        });
        steps.reverse();
        Self {
            mode: ThresholdsMode::Absolute,
            steps,
        }
    }

    /// The lower, the worse: `worst` from 0 to where it is better. The better, the later. What is no number, because there is no value,
    /// has the best colour.
    pub(super) fn falling<const N: usize>(worst: Colour, better: [(Colour, f64); N]) -> Self {
        let best = better.last().map_or(worst, |(color, _)| *color);
        let steps = [(best, None), (worst, Some(0.0))].into_iter();
        let steps = steps.chain(better.map(|(color, value)| (color, Some(value))));
        Self {
            mode: ThresholdsMode::Absolute,
            steps: steps
                .map(|(color, value)| Step {
                    color,
                    value: value.map(Number),
                })
                .collect(),
        }
    }
}

impl FieldColor {
    pub(super) const fn fixed(color: Colour) -> Self {
        Self::Fixed { color }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "looked at: what is cut off is seen in the comparison"
        )]
        let whole = self.0 as i64;
        #[allow(clippy::cast_precision_loss, reason = "likewise")]
        if whole as f64 == self.0 {
            serializer.serialize_i64(whole)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(thresholds: &Thresholds) -> Vec<(Colour, Option<f64>)> {
        let steps = thresholds.steps.iter();
        steps
            .map(|step| (step.color, step.value.map(|value| value.0)))
            .collect()
    }

    #[test]
    fn a_milder_colour_never_covers_a_worse_one() {
        use Colour::{Green, Orange, Red, Yellow};
        for (yellow, orange, red, expected) in [
            (
                5.0,
                20.0,
                50.0,
                vec![(Yellow, 5.0), (Orange, 20.0), (Red, 50.0)],
            ),
            (5.0, 20.0, 10.0, vec![(Yellow, 5.0), (Red, 10.0)]),
            (5.0, 5.0, 5.0, vec![(Red, 5.0)]),
        ] {
            let rising = [(Yellow, yellow), (Orange, orange), (Red, red)];
            let found = steps(&Thresholds::rising(Green, rising));
            assert_eq!(found[0], (Green, None));
            let expected: Vec<_> = expected.into_iter().map(|(c, at)| (c, Some(at))).collect();
            assert_eq!(found[1..], expected);
        }
    }

    #[test]
    fn no_value_is_not_the_worst() {
        let falling = Thresholds::falling(Colour::Red, [(Colour::Green, 60.0)]);
        assert_eq!(
            steps(&falling),
            [
                (Colour::Green, None),
                (Colour::Red, Some(0.0)),
                (Colour::Green, Some(60.0))
            ]
        );
    }
}
