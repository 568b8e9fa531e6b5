//! The state lane over real sockets: what is lost, and what is not held up by it.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;

use parlor::net::{Carrier, Clock, Machine, NetConfig, Relay, RelayAddress, RelayNetConfig};
use parlor::proto::event::{Effect, Input};
use parlor::proto::id::{Identity, Lane, Link};
use parlor::proto::time::Time;

use crate::{Host, PATIENCE, QUIC, TCP, WS, carrier, connected, next, next_other, send};

/// How long is flooded.
const FLOOD: Duration = Duration::from_secs(1);

/// State frames of a flood in each millisecond.
const WAVE: usize = 20;

/// Floods every link with state, and says something on the control lane every ten milliseconds.
#[derive(Debug)]
struct Flood {
    clock: Clock,
    length: usize,
    links: BTreeSet<Link>,
    began: Option<Time>,
    next: Time,
    ticks: u32,
    effects: VecDeque<Effect>,
}

impl Flood {
    fn new(length: usize) -> Self {
        Self {
            clock: Clock::new(),
            length,
            links: BTreeSet::new(),
            began: None,
            next: Time::ZERO,
            ticks: 0,
            effects: VecDeque::new(),
        }
    }
}

impl Machine for Flood {
    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Connected { link, .. } => {
                self.links.insert(link);
                self.began.get_or_insert(now);
            }
            Input::Disconnected { link } => {
                self.links.remove(&link);
            }
            _ => {}
        }
    }

    fn tick(&mut self, now: Time) {
        self.next = now + Duration::from_millis(1);
        if self.began.is_none_or(|began| now.since(began) > FLOOD) {
            return;
        }
        self.ticks += 1;
        let sent = self.clock.now().as_micros().to_le_bytes();
        for &link in &self.links {
            let mut frame = vec![0; self.length];
            frame[..8].copy_from_slice(&sent);
            let frame = Bytes::from(frame);
            for _ in 0..WAVE {
                let frame = frame.clone();
                self.effects.push_back(Effect::Send { link, lane: Lane::State, frame });
            }
            if self.ticks.is_multiple_of(10) {
                let frame = Bytes::copy_from_slice(&sent);
                self.effects.push_back(Effect::Send { link, lane: Lane::Control, frame });
            }
        }
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn poll_timeout(&mut self) -> Option<Time> {
        Some(self.next)
    }
}

/// When a frame of a flood was sent.
fn sent(frame: &Bytes) -> u64 {
    u64::from_le_bytes(frame[..].try_into().unwrap())
}

/// A relay that floods with frames of `length` bytes, and a carrier on it.
async fn flooded(
    listen: &str,
    length: usize,
    config: NetConfig,
    tasks: &mut JoinSet<()>,
) -> (Carrier, Clock) {
    let flood = Flood::new(length);
    let clock = flood.clock;
    let relay = RelayNetConfig { exempt_loopback: true, ..RelayNetConfig::default() };
    let relay = Relay::bind(&Identity::from_seed([1; 32]), &[listen], relay, flood).await.unwrap();
    let address: RelayAddress = relay.addresses()[0].parse().unwrap();
    tasks.spawn(async move {
        relay.run(std::future::pending()).await;
    });
    let mut carrier = carrier(2, address, config);
    connected(&mut carrier).await;
    (carrier, clock)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_does_not_hold_up_the_control_lane() {
    for (listen, length) in [(QUIC, 1_000), (QUIC, 4_000), (TCP, 1_000)] {
        let mut tasks = JoinSet::new();
        let config = NetConfig::default();
        let (mut carrier, clock) = flooded(listen, length, config, &mut tasks).await;
        let mut delays = Vec::new();
        let mut state = 0;
        while delays.len() < 20 {
            match next(&mut carrier).await {
                Input::Received { lane: Lane::Control, frame, .. } => {
                    delays.push(clock.now().as_micros() - sent(&frame));
                }
                Input::Received { lane: Lane::State, .. } => state += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(state > 0, "{listen}: nothing of the flood came");
        delays.sort_unstable();
        let middle = delays[delays.len() / 2];
        assert!(middle < 200_000, "{listen} {length}: {delays:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_state_keeps_its_link_and_finds_only_what_is_new() {
    for listen in [QUIC, TCP] {
        let mut tasks = JoinSet::new();
        let config = NetConfig { inputs: 4, ..NetConfig::default() };
        let (mut carrier, _) = flooded(listen, 1_000, config, &mut tasks).await;
        // The flood is over then, and what is left of it too old; but for what is in the queue.
        tokio::time::sleep(FLOOD * 2).await;
        let mut control = Vec::new();
        let mut state = 0;
        while let Ok(input) = timeout(FLOOD / 2, carrier.wait_input()).await {
            match input {
                Input::Received { lane: Lane::Control, frame, .. } => control.push(sent(&frame)),
                Input::Received { lane: Lane::State, .. } => state += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(control.is_sorted(), "{listen}: {control:?}");
        assert!(control.len() >= 10, "{listen}: {} control frames", control.len());
        assert!(state <= 4 + 1, "{listen}: {state} state frames waited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn state_comes_back_over_every_transport() {
    for listen in [QUIC, TCP, WS] {
        let host = Host::on(listen).await;
        let mut carrier = host.carrier(2);
        let link = connected(&mut carrier).await;
        for length in [1, 1_000, 20_000] {
            let frame = vec![7; length];
            let back = comes_back(&mut carrier, link, &frame);
            timeout(PATIENCE, back).await.unwrap_or_else(|_| panic!("{listen}: {length} bytes"));
        }
    }
}

/// Sends a state frame until it comes back: any of them may be lost, on a machine that is busy with
/// something else.
async fn comes_back(carrier: &mut Carrier, link: Link, frame: &[u8]) {
    loop {
        send(carrier, link, Lane::State, frame);
        match timeout(Duration::from_millis(500), next_other(carrier)).await {
            Ok(Input::Received { lane: Lane::State, frame: back, .. }) if back == frame => return,
            // Late, of a shorter one.
            Ok(Input::Received { lane: Lane::State, .. }) | Err(_) => {}
            Ok(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_that_state_was_written() {
    let host = Host::on(QUIC).await;
    let mut carrier = host.carrier(2);
    let link = connected(&mut carrier).await;
    send(&mut carrier, link, Lane::State, b"state");
    send(&mut carrier, link, Lane::Control, b"control");
    let mut inputs = Vec::new();
    while inputs.iter().filter(|input| matches!(input, Input::Received { .. })).count() < 2 {
        inputs.push(next(&mut carrier).await);
    }
    let mut written = inputs.iter().filter_map(|input| match input {
        Input::Written { lane, .. } => Some(*lane),
        _ => None,
    });
    assert!(written.all(|lane| lane == Lane::Control), "{inputs:?}");
}
