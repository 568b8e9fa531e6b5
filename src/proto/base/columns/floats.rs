//! Columns of floats, as integers: by their bits, or as fractions if all of them are.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]

use super::block::{Source, Writer};
use super::integers::{self, SAMPLE};
use crate::proto::reason::ChangeFault;

/// The largest number up to which every integer is a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Powers of ten, by which fractions are divided.
const TENS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

/// The most bits of a fraction.
const MOST_BITS: u8 = 63;

/// Which integers stand for floats.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    /// All 64 bits.
    Double,
    /// The 32 bits of the float of half the size, which is the same.
    Single,
    /// Multiples of a power of a half.
    Binary(u8),
    /// Multiples of a power of a tenth, rounded.
    Decimal(u8),
    /// The same, rounded to floats of half the size.
    SingleDecimal(u8),
}

/// Appends a column of floats, by their bits.
pub(super) fn write(out: &mut Writer, floats: &[u64]) {
    if floats.is_empty() {
        return;
    }
    let mut best: Option<(usize, Form)> = None;
    for form in forms(floats) {
        let sample = floats.iter().take(SAMPLE).filter_map(|bits| form.integer(*bits));
        let size = integers::about(&sample.collect::<Vec<_>>());
        if best.is_none_or(|(smallest, _)| size < smallest) {
            best = Some((size, form));
        }
    }
    let form = best.map_or(Form::Double, |(_, form)| form);
    let (code, digits) = form.code();
    out.byte(code);
    out.bytes(digits.as_slice());
    let values: Vec<i64> = floats.iter().filter_map(|bits| form.integer(*bits)).collect();
    integers::write(out, &values);
}

/// The next column, of `count` floats, as bits.
pub(super) fn read(source: &mut Source<'_>, count: usize) -> Result<Vec<u64>, ChangeFault> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let code = source.byte()?;
    let form = match code {
        0 => Form::Double,
        1 => Form::Single,
        2 => Form::Binary(source.byte()?),
        3 => Form::Decimal(source.byte()?),
        4 => Form::SingleDecimal(source.byte()?),
        _ => return Err(ChangeFault::Malformed),
    };
    let divisor = form.divisor().ok_or(ChangeFault::Malformed)?;
    let values = integers::read(source, count)?.into_iter();
    match form {
        Form::Double => Ok(values.map(|value| ordered(value).cast_unsigned()).collect()),
        Form::Single => values
            .map(|value| {
                let value = i32::try_from(value).map_err(|_| ChangeFault::Malformed)?;
                Ok(widened(ordered_single(value).cast_unsigned()))
            })
            .collect(),
        Form::Binary(_) | Form::Decimal(_) => {
            Ok(values.map(|value| divided(value, divisor).to_bits()).collect())
        }
        Form::SingleDecimal(_) => {
            Ok(values.map(|value| widened(single(divided(value, divisor)).to_bits())).collect())
        }
    }
}

/// The forms in which all of the floats are themselves.
fn forms(floats: &[u64]) -> Vec<Form> {
    let mut forms = Vec::with_capacity(4);
    let fits = |form: &Form| floats.iter().all(|bits| form.integer(*bits).is_some());
    let bits = floats.iter().map(|bits| fraction_bits(*bits)).max().unwrap_or(0);
    forms.extend(Some(Form::Binary(bits)).filter(fits));
    let single = fits(&Form::Single);
    if bits > 0 {
        let digits = || (1_u8..).take(TENS.len().saturating_sub(1));
        forms.extend(digits().map(Form::Decimal).find(fits));
        if single {
            forms.extend(digits().map(Form::SingleDecimal).find(fits));
        }
    }
    forms.push(if single { Form::Single } else { Form::Double });
    forms
}

impl Form {
    fn code(self) -> (u8, Option<u8>) {
        match self {
            Self::Double => (0, None),
            Self::Single => (1, None),
            Self::Binary(bits) => (2, Some(bits)),
            Self::Decimal(digits) => (3, Some(digits)),
            Self::SingleDecimal(digits) => (4, Some(digits)),
        }
    }

    /// By what the integers are divided.
    fn divisor(self) -> Option<f64> {
        match self {
            Self::Double | Self::Single => Some(1.0),
            Self::Binary(bits) if bits <= MOST_BITS => {
                Some(f64::from_bits(u64::from(bits).saturating_add(1_023) << 52))
            }
            Self::Binary(_) => None,
            Self::Decimal(digits) | Self::SingleDecimal(digits) => {
                TENS.get(usize::from(digits)).copied()
            }
        }
    }

    /// The integer of a float, if it has one that gives back all of its bits.
    fn integer(self, bits: u64) -> Option<i64> {
        let divisor = self.divisor()?;
        match self {
            Self::Double => Some(ordered(bits.cast_signed())),
            Self::Single => Some(ordered_single(narrowed(bits)?.cast_signed()).into()),
            Self::Binary(_) | Self::Decimal(_) => {
                let value = multiplied(f64::from_bits(bits), divisor)?;
                (divided(value, divisor).to_bits() == bits).then_some(value)
            }
            Self::SingleDecimal(_) => {
                let value = multiplied(f64::from_bits(bits), divisor)?;
                (widened(single(divided(value, divisor)).to_bits()) == bits).then_some(value)
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is an integer and not too large")]
fn multiplied(float: f64, by: f64) -> Option<i64> {
    let product = (float * by).round();
    (product.abs() <= EXACT).then_some(product as i64)
}

#[expect(clippy::cast_precision_loss, reason = "rounded: so it is stated")]
fn divided(value: i64, by: f64) -> f64 {
    value as f64 / by
}

#[expect(clippy::cast_possible_truncation, reason = "rounded: so it is stated")]
const fn single(float: f64) -> f32 {
    float as f32
}

/// How many bits a float has behind the point, if that is one of [`Form::Binary`].
fn fraction_bits(bits: u64) -> u8 {
    let float = f64::from_bits(bits);
    if float == 0.0 || !float.is_finite() {
        return 0;
    }
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    let exponent = i64::try_from(bits << 1 >> 53).unwrap_or(0);
    let behind = 1_075_i64.saturating_sub(exponent);
    let behind = behind.saturating_sub(mantissa.trailing_zeros().into());
    u8::try_from(behind.max(0)).unwrap_or(u8::MAX)
}

/// The bits of a float, so that they are ordered as integers; and back.
const fn ordered(bits: i64) -> i64 {
    bits ^ (bits >> 63 & i64::MAX)
}

/// The same of half the size.
const fn ordered_single(bits: i32) -> i32 {
    bits ^ (bits >> 31 & i32::MAX)
}

/// The bits of the same float of half the size, if there is one. A NaN keeps its bits.
fn narrowed(bits: u64) -> Option<u32> {
    let float = f64::from_bits(bits);
    let narrow = if float.is_nan() {
        let sign = bits >> 32 & 0x8000_0000;
        u32::try_from(sign | 0x7f80_0000 | bits >> 29 & 0x007f_ffff).ok()?
    } else {
        single(float).to_bits()
    };
    (widened(narrow) == bits).then_some(narrow)
}

/// The bits of the same float of twice the size. A NaN keeps its bits.
fn widened(bits: u32) -> u64 {
    let float = f32::from_bits(bits);
    if float.is_nan() {
        let sign = u64::from(bits & 0x8000_0000) << 32;
        sign | 0x7ff0_0000_0000_0000 | u64::from(bits & 0x007f_ffff) << 29
    } else {
        f64::from(float).to_bits()
    }
}

/// The bits of a float of half the size that was widened.
pub(super) fn narrow(bits: u64) -> Result<u32, ChangeFault> {
    narrowed(bits).ok_or(ChangeFault::Malformed)
}

/// The bits of a float of half the size, widened.
pub(super) fn widen(bits: u32) -> u64 {
    widened(bits)
}
