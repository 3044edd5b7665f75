//! A number of objects and their bytes, as samples estimate them.

/// A number of objects and their bytes, estimated from samples without bias.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Amount {
    /// How many.
    pub objects: f64,
    /// How many bytes.
    pub bytes: f64,
}

impl Amount {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            objects: self.objects + other.objects,
            bytes: self.bytes + other.bytes,
        }
    }

    /// What is left; never below nothing, as estimates may cross.
    pub fn minus(self, other: Self) -> Self {
        Self {
            objects: (self.objects - other.objects).max(0.0),
            bytes: (self.bytes - other.bytes).max(0.0),
        }
    }

    /// Itself; what is not a number, infinite or below nothing becomes nothing.
    pub fn sound(self) -> Self {
        let sound = |number: f64| {
            if number.is_finite() {
                number.max(0.0)
            } else {
                0.0
            }
        };
        Self {
            objects: sound(self.objects),
            bytes: sound(self.bytes),
        }
    }

    /// Bytes per object; absent without objects.
    pub fn mean_size(self) -> Option<f64> {
        (self.objects > 0.0).then(|| self.bytes / self.objects)
    }
}
