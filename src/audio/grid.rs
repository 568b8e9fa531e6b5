//! Captured samples on the grid of the room's time.
//!
//! The frames of all who speak in a room begin at multiples of a frame by the room's clock, so that a
//! listener mixes whole frames. A device captures when it likes, by a clock of its own: where its
//! samples stand on the grid is settled while nothing is said, by leaving some out, and then kept.

use super::FRAME;

/// How far samples may lie off the grid while something is said, in samples: 200 ms. Beyond that some
/// of them are missing, or a clock was set.
pub const BREAK: u64 = 9_600;

/// The media time of a moment of room time, given in microseconds: samples of 48 kHz since the same
/// beginning. The low 32 bits of it stand in packets.
#[must_use]
pub const fn media_time(room_time: u64) -> u64 {
    // 48 / 1000, without what overflows.
    room_time / 125 * 6 + room_time % 125 * 6 / 125
}

/// Cuts samples into frames that begin at multiples of [`FRAME`] of media time.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The frame that is being filled, and how far it is.
    filling: [f32; FRAME],
    filled: usize,
    /// When that begins; nothing before the first samples.
    begins: Option<u64>,
    /// The latest that any samples were captured.
    latest: Option<u64>,
    /// How many samples are captured before it begins, and still to come.
    early: usize,
    full: [f32; FRAME],
}

impl Default for Grid {
    fn default() -> Self {
        Self {
            filling: [0.0; FRAME],
            filled: 0,
            begins: None,
            latest: None,
            early: 0,
            full: [0.0; FRAME],
        }
    }
}

impl Grid {
    /// Takes the next samples, at most a frame of them, of which the first was captured at a media time.
    /// What is beyond a frame is left out. Returns a frame and when it begins, if one is full: that grows
    /// from frame to frame by [`FRAME`], or by a multiple of it, whatever the clock does.
    ///
    /// Samples that are not where they should be after those before are moved to where the clock has
    /// them: if it is `quiet`, by more than half a frame either way; else only by more than [`BREAK`]
    /// and only later. What waited for a full frame is then left out, and what is before the next
    /// frame's beginning. A clock that goes back by more than [`BREAK`] is not followed, nor is one
    /// that stands still, as the room's time does at a relay whose clock is behind that of the last.
    pub fn push(&mut self, at: u64, pcm: &[f32], quiet: bool) -> Option<(u64, &[f32; FRAME])> {
        let goes_on = self.latest.is_none_or(|latest| at > latest);
        self.latest = self.latest.max(Some(at));
        let begins = match self.begins {
            // Else all would be left out for as long as it stands still.
            Some(begins) if !self.is_off(begins, at, quiet && goes_on) => begins,
            before => self.align(before.unwrap_or(0), at),
        };
        let pcm = &pcm[..pcm.len().min(FRAME)];
        let left_out = self.early.min(pcm.len());
        self.early -= left_out;
        let pcm = &pcm[left_out..];
        let (now, later) = pcm.split_at(pcm.len().min(FRAME - self.filled));
        self.filling[self.filled..][..now.len()].copy_from_slice(now);
        self.filled += now.len();
        if self.filled < FRAME {
            return None;
        }
        self.full = self.filling;
        self.filling[..later.len()].copy_from_slice(later);
        self.filled = later.len();
        self.begins = Some(begins.saturating_add(FRAME as u64));
        Some((begins, &self.full))
    }

    /// Whether the next samples are too far from where they should be.
    fn is_off(&self, begins: u64, at: u64, quiet: bool) -> bool {
        let expected = begins.saturating_add(self.filled as u64).saturating_sub(self.early as u64);
        let off = at.abs_diff(expected);
        off > BREAK && at > expected || quiet && off > FRAME as u64 / 2 && off <= BREAK
    }

    /// Lets the next frame begin at the first multiple that is neither before `least` nor captured
    /// already, and returns it.
    fn align(&mut self, least: u64, at: u64) -> u64 {
        let begins = at.checked_next_multiple_of(FRAME as u64).unwrap_or(at).max(least);
        self.filled = 0;
        self.early = usize::try_from(begins - at).unwrap_or(usize::MAX);
        self.begins = Some(begins);
        begins
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Samples that say when they were captured.
    fn captured(at: u64) -> [f32; FRAME] {
        std::array::from_fn(|i| (at + i as u64) as f32)
    }

    #[test]
    fn media_time_is_room_time_in_samples() {
        assert_eq!(media_time(20_000), 960);
        assert_eq!(media_time(1_000_000), 48_000);
        assert_eq!(media_time(1_000_021), 48_001);
        let last = u128::from(u64::MAX) * 6 / 125;
        assert_eq!(u128::from(media_time(u64::MAX)), last);
    }

    #[test]
    fn frames_begin_on_the_grid_and_hold_what_was_captured_then() {
        let mut grid = Grid::default();
        assert_eq!(grid.push(1_000, &captured(1_000), true), None);
        for i in 1..50 {
            let at = 1_000 + 960 * i;
            let (begins, frame) = grid.push(at, &captured(at), i % 2 == 0).unwrap();
            assert_eq!(begins, 960 * (i + 1));
            assert_eq!(*frame, captured(begins));
        }
    }

    #[test]
    fn a_device_that_drifts_is_moved_in_silence_only() {
        for drift in [-1_i64, 1] {
            let mut grid = Grid::default();
            let at = |i: u64| (96_000 + 960 * i).saturating_add_signed(drift * i.cast_signed());
            let mut begun = Vec::new();
            for i in 0..700 {
                begun.extend(grid.push(at(i), &captured(0), false).map(|(begins, _)| begins));
            }
            assert!(begun.windows(2).all(|pair| pair[1] - pair[0] == 960));
            for i in 700..710 {
                begun.extend(grid.push(at(i), &captured(at(i)), true).map(|(begins, _)| begins));
            }
            let (begins, frame) = grid.push(at(710), &captured(at(710)), true).unwrap();
            assert!((frame[959] - (begins + 959) as f32).abs() <= 10.0, "{drift}: {}", frame[0]);
        }
    }

    #[test]
    fn a_frame_is_full_as_soon_as_its_last_sample_is_there() {
        let mut grid = Grid::default();
        for i in 0..80_u64 {
            let at = 1_000 + 120 * i;
            let full = grid.push(at, &captured(at)[..120], true);
            // In the piece that has the sample before a multiple of 960.
            let ends = (at..at + 120).find(|at| (at + 1) % 960 == 0 && at + 1 >= 2_880);
            assert_eq!(full.map(|(begins, _)| begins + 959), ends);
            assert!(full.is_none_or(|(begins, frame)| *frame == captured(begins)));
        }
    }

    #[test]
    fn missing_samples_are_a_gap_in_time() {
        let mut grid = Grid::default();
        assert!(grid.push(0, &captured(0), true).is_some());
        let (begins, frame) = grid.push(48_000, &captured(48_000), false).unwrap();
        assert_eq!((begins, frame[0]), (48_000, 48_000.0));
    }

    #[test]
    fn a_clock_that_stands_still_leaves_nothing_out_and_one_that_goes_on_is_followed() {
        for frames in [5, 100] {
            let mut grid = Grid::default();
            for i in 0..10 {
                grid.push(1_000 + 960 * i, &captured(0), true);
            }
            // As a device hands over 20 ms, in pieces.
            let at = 1_000 + 960 * 10;
            let mut full = 0;
            for _ in 0..frames {
                for piece in (0..960).step_by(120) {
                    full += usize::from(grid.push(at + piece, &[0.0; 120], true).is_some());
                }
            }
            assert_eq!(full, frames);
            let mut last = None;
            for i in 1..40 {
                let at = at + 960 * i;
                last = grid.push(at, &captured(at), true).map(|(begins, frame)| (begins, *frame));
            }
            let (begins, frame) = last.unwrap();
            let is_followed = frame == captured(begins);
            assert_eq!(is_followed, frames == 5, "as any clock that goes back by 200 ms at most");
        }
    }

    proptest! {
        #[test]
        fn time_only_grows_by_whole_frames(
            pushes in vec(
                (prop_oneof![0_u64..30_000, 0..=u64::MAX / 2], any::<bool>()), 1..60),
        ) {
            let mut grid = Grid::default();
            let mut last = None;
            for (at, quiet) in pushes {
                if let Some((begins, _)) = grid.push(at, &[0.0; FRAME], quiet) {
                    prop_assert!(last.is_none_or(|last| begins >= last + 960), "{:?}", last);
                    last = Some(begins);
                }
            }
        }
    }
}
