//! Numbers as people read them, in whole-number arithmetic so that the same profile gives the same text everywhere.

use std::fmt;

use super::Unit;

/// An amount in its unit: `12.3 MiB`, `1,234 objects`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amount(pub(super) u64, pub(super) Unit);

/// A part of a whole with one decimal: `12.3 %`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(pub(super) u64, pub(super) u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        match unit {
            Unit::Bytes => bytes(value, f),
            Unit::Objects => {
                thousands(value, f)?;
                f.write_str(if value == 1 { " object" } else { " objects" })
            }
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (part, whole) = (u128::from(self.0), u128::from(self.1.max(1)));
        let tenths = (part * 1000 + whole / 2) / whole;
        write!(f, "{}.{} %", tenths / 10, tenths % 10)
    }
}

fn bytes(value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if value < 1024 {
        return write!(f, "{value} B");
    }
    let value = u128::from(value);
    let mut size = 1024;
    for unit in ["KiB", "MiB", "GiB", "TiB"] {
        let tenths = (value * 10 + size / 2) / size;
        // 1023.96 KiB is 1.0 MiB: decided after rounding.
        if tenths < 10_240 || unit == "TiB" {
            return write!(f, "{}.{} {unit}", tenths / 10, tenths % 10);
        }
        size *= 1024;
    }
    Ok(())
}

fn thousands(value: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digits = value.to_string();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            f.write_str(",")?;
        }
        write!(f, "{digit}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_one_decimal_and_the_nearest_unit() {
        let text = |value| Amount(value, Unit::Bytes).to_string();
        assert_eq!(text(0), "0 B");
        assert_eq!(text(1023), "1023 B");
        assert_eq!(text(1024), "1.0 KiB");
        assert_eq!(text(1536 * 1024), "1.5 MiB");
        assert_eq!(text(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(text(5 << 30), "5.0 GiB");
        assert_eq!(text(u64::MAX), "16777216.0 TiB");
    }

    #[test]
    fn objects_have_separators() {
        let text = |value| Amount(value, Unit::Objects).to_string();
        assert_eq!(text(0), "0 objects");
        assert_eq!(text(1), "1 object");
        assert_eq!(text(999), "999 objects");
        assert_eq!(text(1_000), "1,000 objects");
        assert_eq!(text(1_234_567), "1,234,567 objects");
    }

    #[test]
    fn shares_are_rounded() {
        assert_eq!(Share(1, 3).to_string(), "33.3 %");
        assert_eq!(Share(2, 3).to_string(), "66.7 %");
        assert_eq!(Share(5, 5).to_string(), "100.0 %");
        assert_eq!(Share(0, 0).to_string(), "0.0 %");
        assert_eq!(Share(u64::MAX, u64::MAX).to_string(), "100.0 %");
    }
}
