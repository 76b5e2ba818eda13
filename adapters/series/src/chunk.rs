//! One series' values of one day, compressed. Minutes without gaps cost nothing.

use pco::ChunkConfig;
use pco::standalone::{simple_compress, simple_decompress};

const REGULAR: u8 = 0;
const IRREGULAR: u8 = 1;
/// So many digits tell every double from its neighbours.
const EXACT: u8 = 17;

/// A value and its minute since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) minute: u32,
    /// Samples that went into the value.
    pub(crate) weight: u32,
    pub(crate) value: f64,
}

/// Encodes values of strictly growing minutes; at least one.
pub(crate) fn encode(points: &[Point], digits: Option<u8>) -> Result<Vec<u8>, String> {
    let config = ChunkConfig::default();
    let first = points.first().map_or(0, |point| point.minute);
    let regular = points.iter().zip(first..).all(|(point, minute)| point.minute == minute);
    let mut bytes = vec![if regular { REGULAR } else { IRREGULAR }];
    if !regular {
        let minutes: Vec<u32> = points.iter().map(|point| point.minute).collect();
        let packed = simple_compress(&minutes, &config).map_err(|error| error.to_string())?;
        let length = u32::try_from(packed.len()).map_err(|error| error.to_string())?;
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&packed);
    }
    let values: Vec<f64> = points.iter().map(|point| round(point.value, digits)).collect();
    bytes.extend(simple_compress(&values, &config).map_err(|error| error.to_string())?);
    Ok(bytes)
}

/// Decodes what [`encode`] wrote: `count` values from the minute `first` on.
pub(crate) fn decode(bytes: &[u8], first: u32, count: u32) -> Result<Vec<Point>, String> {
    let (flag, rest) = bytes.split_first().ok_or("it is empty")?;
    let (minutes, values): (Vec<u32>, &[u8]) = match *flag {
        REGULAR => ((first..).take(count as usize).collect(), rest),
        IRREGULAR => {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or("it is cut short")?;
            let length = u32::from_le_bytes(*length) as usize;
            let (packed, rest) = rest.split_at_checked(length).ok_or("it is cut short")?;
            (simple_decompress(packed).map_err(|error| error.to_string())?, rest)
        }
        other => return Err(format!("unknown encoding {other}")),
    };
    let values: Vec<f64> = simple_decompress(values).map_err(|error| error.to_string())?;
    if minutes.len() != count as usize || values.len() != minutes.len() {
        return Err(format!("{} values where {count} should be", values.len()));
    }
    let point = |(minute, value)| Point { minute, weight: 1, value };
    Ok(minutes.into_iter().zip(values).map(point).collect())
}

/// The double nearest to the value with so many significant decimal digits. Digits before the
/// point all stay: a counter loses nothing, however large it is.
fn round(value: f64, digits: Option<u8>) -> f64 {
    let rounds = |digits: &u8| *digits < EXACT && value.fract() != 0.0;
    let Some(digits) = digits.filter(rounds) else { return value };
    let before = value.abs().log10().floor() as i32 + 1;
    let places = (i32::from(digits.max(1)) - before).max(0);
    let places = usize::try_from(places).unwrap_or(0);
    format!("{value:.places$}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_significant_digits() {
        for (value, rounded) in [
            (0.0, 0.0),
            (1.234_56, 1.235),
            (12_345.678, 12_346.0),
            (1e15 + 0.5, 1e15),
            (1_234_567_890.0, 1_234_567_890.0),
            (-0.000_123_456, -0.000_123_5),
            (99.999, 100.0),
            (f64::MAX, f64::MAX),
            (1.234_56e-300, 1.235e-300),
            (5e-324, 5e-324),
        ] {
            assert_eq!(round(value, Some(4)), rounded);
            assert_eq!(round(value, None), value);
            assert_eq!(round(value, Some(17)), value);
        }
        assert!(round(-0.0, Some(4)).is_sign_negative());
    }

    #[test]
    fn damage_is_an_error_not_a_panic() {
        let points: Vec<Point> = (0..200)
            .map(|n| Point { minute: n * 2, weight: 1, value: f64::from(n).sin() })
            .collect();
        let bytes = encode(&points, None).unwrap();
        assert_eq!(decode(&bytes, 0, 200).unwrap(), points);
        assert!(decode(&[], 0, 1).is_err());
        assert!(decode(&bytes, 0, 199).is_err());
        for at in 0..bytes.len() {
            let _ = decode(&bytes[..at], 0, 200);
        }
    }
}
