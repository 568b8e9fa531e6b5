//! What came out: tables for people, a JSON object a line for machines.

use std::io::{self, Write};
use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::json;

use crate::ages::Ages;
use crate::asteroids::COUNT;
use crate::seen::{Measured, Seen};
use crate::{Plan, Way, wire};

/// One way at one rate.
pub(crate) struct Row {
    way: String,
    rate: u32,
    /// Pairs of a receiver and a sender that it shows, and of how many.
    pairs: [usize; 2],
    /// Of 100, how much of what was written showed.
    shown: f64,
    /// Of 100, the same of the pair that shows the least.
    shown_least: f64,
    strange: usize,
    ages: Ages,
    /// The highest of the 99th hundredths of all pairs.
    worst_pair: f64,
    /// The same as `ages`, from the time that a room says.
    claimed: Ages,
    /// To each receiver: thousands of bytes a second, packets a second, packets a tick of the relay.
    payload: f64,
    packets: f64,
    a_tick: f64,
    /// Thousands of bytes a second on loopback, for each peer, both ways.
    loopback: f64,
    /// Of 100, of one core.
    relay: f64,
    peers: f64,
}

#[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
fn float(count: u64) -> f64 {
    count as f64
}

fn share(part: usize, of: usize) -> f64 {
    100.0 * float(part as u64) / float(of.max(1) as u64)
}

impl Row {
    pub(crate) fn new(way: Way, plan: Plan, measured: Measured) -> Self {
        let Measured { seen, written, usage } = measured;
        let others = plan.peers.saturating_sub(1);
        let seconds = plan.length.as_secs_f64();
        let received = seen.iter().fold([0; 2], |[bytes, packets], seen| {
            [bytes + seen.traffic.bytes, packets + seen.traffic.packets]
        });
        let [bytes, packets] = received.map(|sum| float(sum) / float(plan.peers as u64) / seconds);
        let strange = seen.iter().map(|seen| seen.strange).sum();
        let claimed = seen.iter().flat_map(|seen| seen.claimed.iter().copied()).collect();
        // Nobody shows itself.
        let pairs = seen.into_iter().flat_map(|Seen { receiver, pairs, .. }| {
            let pairs = pairs.into_iter().enumerate();
            pairs.filter(move |(sender, _)| *sender != receiver).map(|(_, pair)| pair.ages)
        });
        let pairs: Vec<Vec<u32>> = pairs.collect();
        let each = written / plan.peers.max(1);
        let least = pairs.iter().map(Vec::len).min().unwrap_or(0);
        let slow = pairs.iter().map(|ages| Ages::of(ages.clone()).slow);
        let worst_pair = slow.fold(f64::NAN, f64::max);
        let shows = pairs.iter().filter(|ages| !ages.is_empty()).count();
        let of_core = |time: Duration| 100.0 * time.as_secs_f64() / seconds;
        let all = pairs.concat();
        Self {
            way: match way {
                Way::Room => format!("parlor, relay at {} Hz", plan.relay.rate),
                Way::Udp => "bare UDP".to_owned(),
                Way::Gossip => "gossipsub over QUIC".to_owned(),
                Way::Wire => "parlor".to_owned(),
            },
            rate: plan.rate,
            pairs: [shows, plan.peers * others],
            shown: share(all.len(), written * others),
            shown_least: share(least, each),
            strange,
            ages: Ages::of(all),
            worst_pair,
            claimed: Ages::of(claimed),
            payload: bytes / 1e3,
            packets,
            a_tick: packets / f64::from(plan.relay.rate),
            loopback: usage
                .loopback
                .map_or(f64::NAN, |bytes| float(bytes) / seconds / float(plan.peers as u64) / 1e3),
            relay: of_core(usage.relay),
            peers: of_core(usage.peers),
        }
    }
}

/// Asteroids at one loss.
pub(crate) struct WireRow {
    loss: u32,
    /// Thousands of bytes a second: that the relay sent to the receiver, that arrived, that were frames
    /// of the state lane, and of other lanes.
    kilobytes: [f64; 4],
    /// Packets a second: that the relay sent, and that arrived.
    packets: [f64; 2],
    /// Bytes of the state lane for each transform that was written.
    transform: f64,
    shown: f64,
    off: wire::Off,
    checked: usize,
    wrong: usize,
    ages: Ages,
}

impl WireRow {
    pub(crate) fn new(plan: wire::Plan, measured: wire::Measured) -> Self {
        let seconds = measured.length.as_secs_f64();
        let wire::Traffic { sent, arrived, state, rest } = measured.traffic;
        let second = |count: u64| float(count) / seconds;
        let transforms = (measured.written * COUNT) as u64;
        Self {
            loss: plan.loss,
            kilobytes: [sent, arrived, state, rest].map(|[_, bytes]| second(bytes) / 1e3),
            packets: [sent, arrived].map(|[packets, _]| second(packets)),
            transform: float(state[1]) / float(transforms.max(1)),
            shown: share(measured.ages.len(), measured.written),
            off: measured.off,
            checked: measured.checked,
            wrong: measured.wrong,
            ages: Ages::of(measured.ages),
        }
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Report {
    crowds: Vec<Row>,
    wires: Vec<WireRow>,
}

impl Report {
    pub(crate) fn add(&mut self, row: Row) {
        self.crowds.push(row);
    }

    pub(crate) fn add_wire(&mut self, row: WireRow) {
        self.wires.push(row);
    }

    pub(crate) fn show(&self, as_json: bool) -> io::Result<()> {
        let mut out = anstream::stdout();
        if as_json {
            return self.write_json(&mut out);
        }
        if !self.crowds.is_empty() {
            writeln!(out, "{}", self.crowds())?;
        }
        if !self.wires.is_empty() {
            writeln!(out, "{}", self.wires())?;
        }
        Ok(())
    }

    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        for row in &self.crowds {
            let [pairs, of_pairs] = row.pairs;
            let line = json!({
                "scene": "crowd",
                "way": row.way,
                "rate": row.rate,
                "pairs": pairs,
                "of_pairs": of_pairs,
                "shown_percent": row.shown,
                "shown_percent_least": row.shown_least,
                "strange": row.strange,
                "age_p50_ms": row.ages.middle,
                "age_p99_ms": row.ages.slow,
                "age_max_ms": row.ages.slowest,
                "age_p99_ms_worst_pair": row.worst_pair,
                "room_time_age_p50_ms": row.claimed.middle,
                "room_time_age_p99_ms": row.claimed.slow,
                "payload_kbytes_per_second": row.payload,
                "packets_per_second": row.packets,
                "packets_per_tick": row.a_tick,
                "loopback_kbytes_per_second": row.loopback,
                "relay_cpu_percent": row.relay,
                "peers_cpu_percent": row.peers,
            });
            writeln!(out, "{line}")?;
        }
        for row in &self.wires {
            let [sent, arrived, state, rest] = row.kilobytes;
            let [packets_sent, packets_arrived] = row.packets;
            let line = json!({
                "scene": "wire",
                "loss_percent": row.loss,
                "sent_kbytes_per_second": sent,
                "arrived_kbytes_per_second": arrived,
                "state_kbytes_per_second": state,
                "other_lanes_kbytes_per_second": rest,
                "packets_sent_per_second": packets_sent,
                "packets_arrived_per_second": packets_arrived,
                "state_bytes_per_transform": row.transform,
                "shown_percent": row.shown,
                "off_place_max_m": row.off.place,
                "off_turn_max": row.off.turn,
                "checked": row.checked,
                "wrong": row.wrong,
                "age_p50_ms": row.ages.middle,
                "age_p99_ms": row.ages.slow,
                "age_max_ms": row.ages.slowest,
            });
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// In brackets, how many times the first way's it is, at the same rate.
    fn crowds(&self) -> Table {
        let mut table = table(&[
            "rate",
            "way",
            "pairs",
            "shown (least)",
            "age, p50 ms",
            "p99 ms",
            "max ms",
            "worst pair, p99",
            "room time, p50, p99",
            "payload, kB/s",
            "packets a tick",
            "loopback, kB/s a peer",
            "relay, % of a core",
            "peers, %",
        ]);
        for row in &self.crowds {
            let first = self.crowds.iter().find(|first| first.rate == row.rate).unwrap_or(row);
            let compared = |figure: f64, with: f64| format!("{figure:.1} ({:.1})", figure / with);
            table.add_row([
                format!("{} Hz", row.rate),
                row.way.clone(),
                format!("{} of {}", row.pairs[0], row.pairs[1]),
                format!("{:.1} ({:.1}) %", row.shown, row.shown_least),
                compared(row.ages.middle, first.ages.middle),
                compared(row.ages.slow, first.ages.slow),
                compared(row.ages.slowest, first.ages.slowest),
                format!("{:.1}", row.worst_pair),
                if row.claimed.middle.is_nan() {
                    String::new()
                } else {
                    format!("{:.1}, {:.1}", row.claimed.middle, row.claimed.slow)
                },
                compared(row.payload, first.payload),
                format!("{:.2}", row.a_tick),
                compared(row.loopback, first.loopback),
                compared(row.relay, first.relay),
                compared(row.peers, first.peers),
            ]);
        }
        aligned(table, 2)
    }

    /// In brackets, how many times the first loss's it is.
    fn wires(&self) -> Table {
        let mut table = table(&[
            "asteroids, lost",
            "sent, kB/s",
            "arrived, kB/s",
            "state lane, kB/s",
            "other lanes, kB/s",
            "packets/s sent",
            "B a transform",
            "shown",
            "off, m",
            "turn",
            "wrong",
            "age, p50 ms",
            "p99 ms",
            "max ms",
        ]);
        for row in &self.wires {
            let [sent, arrived, state, rest] = row.kilobytes;
            let first = self.wires.first().map_or(sent, |first| first.kilobytes[0]);
            table.add_row([
                format!("{} %", row.loss),
                format!("{sent:.2} ({:.2})", sent / first),
                format!("{arrived:.2}"),
                format!("{state:.2}"),
                format!("{rest:.2}"),
                format!("{:.0}", row.packets[0]),
                format!("{:.3}", row.transform),
                format!("{:.1} %", row.shown),
                format!("{:.5}", row.off.place),
                format!("{:.6}", row.off.turn),
                format!("{} of {}", row.wrong, row.checked),
                format!("{:.1}", row.ages.middle),
                format!("{:.1}", row.ages.slow),
                format!("{:.1}", row.ages.slowest),
            ]);
        }
        aligned(table, 1)
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table
}

fn aligned(mut table: Table, from: usize) -> Table {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Says what is wrong.
pub(crate) fn complain(why: &str) {
    // Nobody may be listening.
    writeln!(anstream::stderr(), "error: {why}").ok();
}
