//! What goes into a frame that has not room for all.

use std::cmp::Reverse;

use super::{Hop, Plan, Say};
use crate::proto::state::coder::Writer;
use crate::proto::state::stream::price::{BYTE, Price, introduction};
use crate::proto::state::stream::values::Values;
use crate::proto::state::stream::{Id, Known, Snapshot};

/// How often a frame is written that turns out too long, at most.
const TRIES: u32 = 4;

/// As many parts of a step count as much as a frame that said nothing. Were waiting to count more, what
/// waited would win over what was just said behind a wait; but that has to be said again at once, for a
/// track takes all that it was off for what it goes in the ticks of one frame.
const PATIENCE: u64 = 4 * 256;

/// Something that a frame should say and may have no room for.
struct Want {
    /// Whether it is new and may have arrived: then it must not vanish again.
    arrives: bool,
    /// How far it is off, and how long nothing was said of it.
    weight: u64,
    /// The tick at which it was last new.
    since: u32,
    /// About how many 256ths of a byte it takes.
    cost: usize,
    what: What,
}

enum What {
    Slot(usize),
    New(Id),
}

impl Plan {
    /// Writes it behind a head, without what there is no room for. Returns what both ends know then.
    pub(super) fn fit(
        &mut self,
        head: &Writer,
        hop: Hop<'_>,
        (budget, mut price): (usize, Price),
        mut room: Vec<Option<Known>>,
    ) -> (Vec<u8>, Snapshot) {
        let (values, base, _) = hop;
        let mut left = TRIES;
        loop {
            let mut writer = head.clone();
            let snapshot = self.write(&mut writer, hop, room);
            let frame = writer.finish();
            left -= 1;
            if frame.len() <= budget || left == 0 {
                return (frame, snapshot);
            }
            // What is far off, and goes first, is dearer than most.
            price = price.dearer(frame.len(), budget);
            if !self.ration(values, base, (budget, price)) {
                return (frame, snapshot);
            }
            room = snapshot.slots;
            room.clear();
        }
    }

    /// Leaves out what there is no room for. Returns whether that is anything.
    pub(super) fn ration(
        &mut self,
        values: &Values,
        base: &Snapshot,
        (budget, price): (usize, Price),
    ) -> bool {
        let slots = self.slots.iter().zip(base.seats.iter().zip(&base.slots)).enumerate();
        let slots = slots.filter(|(_, (step, _))| step.say != Say::Nothing);
        let slots = slots.map(|(slot, (step, (seat, known)))| Want {
            arrives: false,
            weight: known.zip(values.of(seat)).map_or(u64::MAX, |(known, current)| {
                let off = known.track.off(step.ahead, current.truth);
                off.saturating_add(u64::from(known.quiet) * PATIENCE)
            }),
            since: 0,
            cost: step.say.cost(seat, price),
            what: What::Slot(slot),
        });
        let new = self.new.iter().filter_map(|id| Some((id, values.get(*id)?)));
        let new = new.map(|(id, current)| Want {
            arrives: current.said > base.tick,
            weight: u64::MAX,
            since: current.said,
            cost: introduction(current),
            what: What::New(*id),
        });
        let mut wants: Vec<Want> = slots.chain(new).collect();
        // By what the frame builds on, not by what was said since: that may be lost, and while it is not
        // known to have come, what shows behind this frame is as if it had not been said.
        wants.sort_by_key(|want| (!want.arrives, Reverse(want.weight), want.since));
        self.new.clear();
        let (mut left, mut first, mut lacks) = (budget * BYTE, true, false);
        for Want { cost, what, .. } in wants {
            // One at least, or it would never go.
            let fits = first || cost <= left;
            if fits {
                left = left.saturating_sub(cost);
                first = false;
            }
            lacks |= !fits;
            match what {
                What::Slot(slot) if !fits => {
                    self.estimated -= self.slots[slot].say.estimated(&base.seats[slot]);
                    self.slots[slot].say = Say::Nothing;
                }
                What::New(id) if fits => self.new.push(id),
                What::Slot(_) | What::New(_) => {}
            }
        }
        self.new.sort_unstable();
        self.lacks |= lacks;
        lacks
    }
}
