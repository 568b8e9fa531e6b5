//! Rotations in whole numbers: unit quaternions with 30 bits behind the point.

/// One, with 30 bits behind the point.
pub const UNIT: i64 = 1 << 30;

/// A rotation: x, y, z and w of a unit quaternion, of which the opposite is the same rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn(pub [i32; 4]);

impl Turn {
    /// No rotation.
    pub const NONE: Self = Self([0, 0, 0, 1 << 30]);

    /// The rotation of a quaternion x, y, z, w, whatever its length; nothing if it has none.
    #[must_use]
    pub fn new(quaternion: [f32; 4]) -> Option<Self> {
        let [x, y, z, w] = quaternion.map(f64::from);
        let length = (x * x + y * y + z * z + w * w).sqrt();
        if !length.is_finite() || length < 1e-6 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "components of a unit quaternion are at most 1"
        )]
        Some(Self([x, y, z, w].map(|part| (part / length * UNIT as f64).round() as i32)))
    }

    /// The quaternion x, y, z, w.
    #[must_use]
    pub fn quaternion(self) -> [f32; 4] {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "rounded to an f32, as every value here"
        )]
        self.0.map(|part| (f64::from(part) / UNIT as f64) as f32)
    }

    /// This rotation behind another: the quaternions' product `self * other`.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let [ax, ay, az, aw] = self.0.map(i64::from);
        let [bx, by, bz, bw] = other.0.map(i64::from);
        Self::normal([
            (aw * bx + ax * bw + ay * bz - az * by) >> 30,
            (aw * by - ax * bz + ay * bw + az * bx) >> 30,
            (aw * bz + ax * by - ay * bx + az * bw) >> 30,
            (aw * bw - ax * bx - ay * by - az * bz) >> 30,
        ])
    }

    /// The opposite rotation.
    #[must_use]
    pub const fn inverse(self) -> Self {
        let [x, y, z, w] = self.0;
        Self([-x, -y, -z, w])
    }

    /// This rotation `count` times.
    #[must_use]
    pub fn repeated(self, count: u32) -> Self {
        let (mut left, mut power, mut all) = (count, self, Self::NONE);
        while left > 0 {
            if left & 1 == 1 {
                all = all.times(power);
            }
            left >>= 1;
            if left > 0 {
                power = power.times(power);
            }
        }
        all
    }

    /// A small rotation by half its axis and angle, as a vector with 30 bits behind the point.
    #[must_use]
    pub fn small(half: [i64; 3]) -> Self {
        let [x, y, z] = half.map(|part| part.clamp(-UNIT / 4, UNIT / 4));
        let rest = UNIT * UNIT - x * x - y * y - z * z;
        Self::normal([x, y, z, root(rest)])
    }

    /// The vector of [`Self::small`] that this is, as the shorter way round.
    #[must_use]
    pub fn half(self) -> [i64; 3] {
        let [x, y, z, w] = self.0.map(i64::from);
        if w < 0 { [-x, -y, -z] } else { [x, y, z] }
    }

    /// The component that is farthest from zero.
    #[must_use]
    pub fn largest(self) -> usize {
        let mut largest = 0;
        for (at, part) in self.0.iter().enumerate() {
            if part.unsigned_abs() > self.0[largest].unsigned_abs() {
                largest = at;
            }
        }
        largest
    }

    /// The same rotation as the one of its two quaternions that is nearer to another's.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        let dot: i64 = pairs.map(|(a, b)| (i64::from(*a) * i64::from(*b)) >> 2).sum();
        if dot < 0 { Self(self.0.map(i32::wrapping_neg)) } else { self }
    }

    /// The largest difference of a component, of the two on the nearer sides.
    #[must_use]
    pub fn distance(self, other: Self) -> i64 {
        let near = self.beside(other);
        let pairs = near.0.iter().zip(&other.0);
        pairs.map(|(a, b)| (i64::from(*a) - i64::from(*b)).abs()).max().unwrap_or(0)
    }

    /// Makes the length one again of what is nearly that long: one step of Newton's method.
    fn normal(parts: [i64; 4]) -> Self {
        // What no rotation has is borne, so that any bits can be read.
        let parts = parts.map(|part| part.clamp(-2 * UNIT, 2 * UNIT));
        let square: i64 = parts.iter().map(|part| (part * part) >> 30).sum();
        let scale = (3 * UNIT - square.min(2 * UNIT)) >> 1;
        Self(parts.map(|part| narrow((part * scale) >> 30)))
    }
}

/// A square root, of a number with 60 bits behind the point; zero of what is negative.
#[must_use]
pub fn root(square: i64) -> i64 {
    let square = square.max(0);
    // A float's root is at most one off, and faster than a whole one.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "as said")]
    let near = (square as f64).sqrt() as i64;
    let above = |root: i64| root.checked_mul(root).is_none_or(|root| root > square);
    if above(near) {
        near - 1
    } else if above(near + 1) {
        near
    } else {
        near + 1
    }
}

/// A component, which is at most one.
#[must_use]
pub fn narrow(part: i64) -> i32 {
    i32::try_from(part.clamp(-UNIT, UNIT)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turn() -> impl Strategy<Value = Turn> {
        prop::array::uniform4(-1.0_f32..1.0).prop_filter_map("no length", Turn::new)
    }

    proptest! {
        #[test]
        fn a_turn_and_its_opposite_are_none(turn in turn()) {
            prop_assert!(turn.times(turn.inverse()).distance(Turn::NONE) < 1 << 8);
        }

        #[test]
        fn turning_on_and_on_stays_a_rotation(turn in turn(), count in 0..256_u32) {
            let all = turn.repeated(count);
            let one_by_one = (0..count).fold(Turn::NONE, |all, _| all.times(turn));
            prop_assert!(all.distance(one_by_one) < 1 << 14);
        }

        #[test]
        fn any_bits_are_borne(bits: [i32; 4], other: [i32; 4]) {
            let clamp = |bits: [i32; 4]| Turn(bits.map(|part| narrow(i64::from(part))));
            let borne = clamp(bits).times(clamp(other)).times(clamp(bits).repeated(255));
            prop_assert!(borne.0.iter().all(|part| i64::from(*part).abs() <= UNIT));
        }

        #[test]
        fn quaternions_come_back(turn in turn()) {
            prop_assert!(Turn::new(turn.quaternion()).unwrap().distance(turn) < 1 << 8);
        }
    }
}
