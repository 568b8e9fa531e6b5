//! Values between values, and differences that vanish.

use std::f64::consts::{PI, TAU};
use std::fmt;

use crate::proto::model::property::vector::{Colour, Quaternion};

/// A value that can be anywhere between two others.
pub trait Blend: Clone + PartialEq + fmt::Debug {
    /// What leads from one value to another.
    type Offset: Clone + fmt::Debug;

    /// Whether it can be reckoned with: every number is finite, and a rotation has a length.
    fn is_sound(&self) -> bool;

    /// The value on the way from one to another, `share` of it behind the first; beyond 1 the way
    /// goes on straight. Exactly `from` at 0, exactly `to` at 1 or if both are equal, and sound if
    /// both are. A number is never outside of the two for a share from 0 to 1.
    #[must_use]
    fn mix(from: &Self, to: &Self, share: f64) -> Self;

    /// What leads from one to another, the shorter way where there are two; nothing if no finite
    /// offset does.
    fn offset(from: &Self, to: &Self) -> Option<Self::Offset>;

    /// The value that a share, from 0 to 1, of an offset leads to from here. Sound if this is.
    #[must_use]
    fn displaced(&self, offset: &Self::Offset, share: f64) -> Self;
}

impl Blend for f64 {
    type Offset = Self;

    fn is_sound(&self) -> bool {
        self.is_finite()
    }

    fn mix(&from: &Self, &to: &Self, share: f64) -> Self {
        if share == 0.0 {
            return from;
        }
        let mixed = from * (1.0 - share) + to * share;
        if from == to || share == 1.0 || !mixed.is_finite() {
            return to;
        }
        let within = (0.0..=1.0).contains(&share);
        if within { mixed.max(from.min(to)).min(from.max(to)) } else { mixed }
    }

    fn offset(from: &Self, to: &Self) -> Option<Self> {
        Some(to - from).filter(|offset| offset.is_finite())
    }

    fn displaced(&self, offset: &Self, share: f64) -> Self {
        let displaced = self + offset * share;
        if displaced.is_finite() { displaced } else { *self }
    }
}

impl Blend for f32 {
    type Offset = f64;

    fn is_sound(&self) -> bool {
        self.is_finite()
    }

    fn mix(&from: &Self, &to: &Self, share: f64) -> Self {
        narrow(f64::mix(&from.into(), &to.into(), share))
    }

    fn offset(&from: &Self, &to: &Self) -> Option<f64> {
        f64::offset(&from.into(), &to.into())
    }

    fn displaced(&self, offset: &f64, share: f64) -> Self {
        narrow(f64::from(*self).displaced(offset, share))
    }
}

impl<const N: usize> Blend for [f32; N] {
    type Offset = [f64; N];

    fn is_sound(&self) -> bool {
        self.iter().all(f32::is_sound)
    }

    fn mix(from: &Self, to: &Self, share: f64) -> Self {
        std::array::from_fn(|at| f32::mix(&from[at], &to[at], share))
    }

    fn offset(from: &Self, to: &Self) -> Option<[f64; N]> {
        // Of finite `f32`s every difference is finite.
        let offset = std::array::from_fn(|at| f64::from(to[at]) - f64::from(from[at]));
        offset.iter().all(f64::is_sound).then_some(offset)
    }

    fn displaced(&self, offset: &[f64; N], share: f64) -> Self {
        std::array::from_fn(|at| self[at].displaced(&offset[at], share))
    }
}

impl Blend for Colour {
    type Offset = [f64; 4];

    fn is_sound(&self) -> bool {
        self.0.is_sound()
    }

    fn mix(from: &Self, to: &Self, share: f64) -> Self {
        Self(Blend::mix(&from.0, &to.0, share))
    }

    fn offset(from: &Self, to: &Self) -> Option<[f64; 4]> {
        Blend::offset(&from.0, &to.0)
    }

    fn displaced(&self, offset: &[f64; 4], share: f64) -> Self {
        Self(self.0.displaced(offset, share))
    }
}

/// An angle in radians, of which every whole turn more is the same. What is between two is on the
/// shorter way, and from minus pi to pi.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Angle(pub f32);

impl Angle {
    /// An angle from minus pi to pi.
    fn round(radians: f64) -> f64 {
        (radians + PI).rem_euclid(TAU) - PI
    }
}

impl Blend for Angle {
    type Offset = f64;

    fn is_sound(&self) -> bool {
        self.0.is_sound()
    }

    fn mix(from: &Self, to: &Self, share: f64) -> Self {
        if share == 0.0 {
            return *from;
        }
        if from == to || share == 1.0 {
            return *to;
        }
        let way = Self::round(f64::from(to.0) - f64::from(from.0));
        Self(narrow(Self::round(f64::from(from.0) + way * share)))
    }

    fn offset(from: &Self, to: &Self) -> Option<f64> {
        Some(Self::round(f64::from(to.0) - f64::from(from.0)))
    }

    fn displaced(&self, offset: &f64, share: f64) -> Self {
        Self(narrow(Self::round(f64::from(self.0) + offset * share)))
    }
}

/// Along the shorter way, at one angular speed. What comes of mixing has length 1; what is not mixed
/// stays as it is.
impl Blend for Quaternion {
    /// The rotation that comes on top, x, y, z and w, with w at least 0.
    type Offset = [f64; 4];

    fn is_sound(&self) -> bool {
        self.0.is_sound() && length(wide(*self)) > 1e-6
    }

    fn mix(from: &Self, to: &Self, share: f64) -> Self {
        if share == 0.0 {
            return *from;
        }
        if from == to || share == 1.0 {
            return *to;
        }
        let way = along(unit(wide(*from)), unit(wide(*to)), share);
        Self(way.map(narrow))
    }

    fn offset(from: &Self, to: &Self) -> Option<[f64; 4]> {
        let [x, y, z, w] = unit(wide(*from));
        let [x, y, z, w] = times(unit(wide(*to)), [-x, -y, -z, w]);
        Some(if w < 0.0 { [-x, -y, -z, -w] } else { [x, y, z, w] })
    }

    fn displaced(&self, offset: &[f64; 4], share: f64) -> Self {
        let part = along([0.0, 0.0, 0.0, 1.0], *offset, share);
        Self(unit(times(part, unit(wide(*self)))).map(narrow))
    }
}

/// Values that are written together.
impl<A: Blend, B: Blend> Blend for (A, B) {
    type Offset = (A::Offset, B::Offset);

    fn is_sound(&self) -> bool {
        self.0.is_sound() && self.1.is_sound()
    }

    fn mix(from: &Self, to: &Self, share: f64) -> Self {
        (A::mix(&from.0, &to.0, share), B::mix(&from.1, &to.1, share))
    }

    fn offset(from: &Self, to: &Self) -> Option<Self::Offset> {
        Some((A::offset(&from.0, &to.0)?, B::offset(&from.1, &to.1)?))
    }

    fn displaced(&self, offset: &Self::Offset, share: f64) -> Self {
        (self.0.displaced(&offset.0, share), self.1.displaced(&offset.1, share))
    }
}

/// Values that are written together, such as a place, a rotation and a size.
impl<A: Blend, B: Blend, C: Blend> Blend for (A, B, C) {
    type Offset = (A::Offset, B::Offset, C::Offset);

    fn is_sound(&self) -> bool {
        self.0.is_sound() && self.1.is_sound() && self.2.is_sound()
    }

    fn mix(from: &Self, to: &Self, share: f64) -> Self {
        let (a, b) = (A::mix(&from.0, &to.0, share), B::mix(&from.1, &to.1, share));
        (a, b, C::mix(&from.2, &to.2, share))
    }

    fn offset(from: &Self, to: &Self) -> Option<Self::Offset> {
        let (a, b) = (A::offset(&from.0, &to.0)?, B::offset(&from.1, &to.1)?);
        Some((a, b, C::offset(&from.2, &to.2)?))
    }

    fn displaced(&self, offset: &Self::Offset, share: f64) -> Self {
        let (a, b) = (self.0.displaced(&offset.0, share), self.1.displaced(&offset.1, share));
        (a, b, self.2.displaced(&offset.2, share))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounded to an f32, and never to infinity")]
fn narrow(number: f64) -> f32 {
    number.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

fn wide(quaternion: Quaternion) -> [f64; 4] {
    quaternion.0.map(f64::from)
}

fn dot(a: [f64; 4], b: [f64; 4]) -> f64 {
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

fn length(parts: [f64; 4]) -> f64 {
    dot(parts, parts).sqrt()
}

/// The same direction with length 1. What is sound has a length.
fn unit(parts: [f64; 4]) -> [f64; 4] {
    let length = length(parts);
    parts.map(|part| part / length)
}

/// The quaternions' product `a * b`: the rotation `b`, then `a`.
fn times([ax, ay, az, aw]: [f64; 4], [bx, by, bz, bw]: [f64; 4]) -> [f64; 4] {
    [
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    ]
}

/// The rotation on the shorter way between two, as a unit quaternion.
fn along(from: [f64; 4], to: [f64; 4], share: f64) -> [f64; 4] {
    let cosine = dot(from, to);
    let to = if cosine < 0.0 { to.map(|part| -part) } else { to };
    // Of what lies so close together the arc is a line.
    let angle = cosine.abs().min(1.0).acos();
    let (a, b) = if angle < 1e-4 {
        (1.0 - share, share)
    } else {
        (((1.0 - share) * angle).sin() / angle.sin(), (share * angle).sin() / angle.sin())
    };
    unit(std::array::from_fn(|at| from[at] * a + to[at] * b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rotation() -> impl Strategy<Value = Quaternion> {
        prop::array::uniform4(-2.0_f32..2.0)
            .prop_map(Quaternion)
            .prop_filter("no length", Quaternion::is_sound)
    }

    /// How far apart two rotations are, as the sine of half the angle.
    fn apart(a: Quaternion, b: Quaternion) -> f64 {
        let offset = Quaternion::offset(&a, &b).unwrap();
        length([offset[0], offset[1], offset[2], 0.0])
    }

    proptest! {
        #[test]
        fn a_number_between_two_is_between_them(a: f32, b: f32, share in 0.0..=1.0_f64) {
            prop_assume!(a.is_sound() && b.is_sound());
            let mixed = f32::mix(&a, &b, share);
            prop_assert!(a.min(b) <= mixed && mixed <= a.max(b));
            let (a, b) = (f64::from(a) * 1e270, f64::from(b) * 1e270);
            let mixed = f64::mix(&a, &b, share);
            prop_assert!(a.min(b) <= mixed && mixed <= a.max(b));
        }

        #[test]
        fn whatever_is_sound_stays_sound(a: [f64; 2], b in rotation(), c: f32, share: f64) {
            let share = share.abs().min(1e6);
            let part = share.min(1.0);
            let values = (a[0], Angle(c), b);
            prop_assume!(values.is_sound() && a[1].is_finite());
            let others = (a[1], Angle(-c), Quaternion([1.0, 0.0, 0.0, 0.0]));
            let mixed = Blend::mix(&values, &others, share);
            prop_assert!(mixed.is_sound(), "{:?}", mixed);
            if let Some(offset) = Blend::offset(&values, &others) {
                prop_assert!(values.displaced(&offset, part).is_sound());
            }
        }

        #[test]
        fn ends_and_equals_are_exact(a in rotation(), b in rotation(), c: f32, d: f32, share: f64) {
            prop_assume!(c.is_sound() && d.is_sound());
            let (a, b) = ((a, Angle(c), c), (b, Angle(d), d));
            prop_assert_eq!(Blend::mix(&a, &b, 0.0), a);
            prop_assert_eq!(Blend::mix(&a, &b, 1.0), b);
            prop_assert_eq!(Blend::mix(&a, &a, share), a);
        }

        #[test]
        fn an_offset_leads_there_and_less_of_it_less_far(a in rotation(), b in rotation()) {
            let offset = Quaternion::offset(&a, &b).unwrap();
            prop_assert!(apart(a.displaced(&offset, 1.0), b) < 1e-6);
            prop_assert!(apart(a.displaced(&offset, 0.0), a) < 1e-6);
            let (whole, half) = (apart(a, b).asin(), apart(a, a.displaced(&offset, 0.5)).asin());
            prop_assert!((whole / 2.0 - half).abs() < 1e-6);
        }

        #[test]
        fn rotations_turn_evenly_the_shorter_way(a in rotation(), b in rotation()) {
            let opposite = Quaternion(b.0.map(|part| -part));
            let third = Quaternion::mix(&a, &b, 1.0 / 3.0);
            prop_assert!(apart(third, Quaternion::mix(&a, &opposite, 1.0 / 3.0)) < 1e-6);
            prop_assert!((length(wide(third)) - 1.0).abs() < 1e-6);
            let (whole, part) = (apart(a, b).asin(), apart(a, third).asin());
            prop_assert!((whole / 3.0 - part).abs() < 1e-6);
        }

        #[test]
        fn angles_turn_the_shorter_way(a in -10.0..10.0_f32, b in -10.0..10.0_f32) {
            let half = Angle::mix(&Angle(a), &Angle(b), 0.5);
            let way = |from: f32, to: f32| Angle::round(f64::from(to) - f64::from(from));
            prop_assert!((way(a, half.0) - way(a, b) / 2.0).abs() < 1e-5);
            prop_assert!(half.0.abs() <= std::f32::consts::PI);
            let offset = Angle::offset(&Angle(a), &Angle(b)).unwrap();
            let there = Angle(a).displaced(&offset, 1.0);
            prop_assert!(way(there.0, b).abs() < 1e-5);
        }
    }
}
