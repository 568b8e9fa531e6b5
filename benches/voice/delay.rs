//! From mouth to ear: what is pushed into a room's input, through a relay and a network that is not
//! good, until a playout gives it back. Devices, and what the codec looks ahead, are not in it.
//!
//! A delay is from when the first sample of a frame was captured. The speaker's room says when that
//! was, by its own clock and its own idea of the room's time, which is in the packets: so nothing that
//! two clocks disagree about is in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parlor::audio::BLOCK;
use parlor::audio::codec::Codec as _;
use parlor::audio::grid::media_time;
use parlor::audio::opus::Opus;
use parlor::audio::playout::Playout;
use parlor::audio::playout::config::PlayoutConfig;
use parlor::audio::playout::statistics::PlayoutStatistics;
use parlor::net::Arrivals;
use parlor::proto::audio::packet::Packet;
use parlor::proto::audio::stream::StreamName;
use parlor::proto::config::PeerConfig;
use parlor::{AudioInput, AudioInputOptions, ConnectOptions, Room};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::ages::Ages;
use crate::hub::{APP_KEY, Hub};
use crate::member::{MEETING, Member, Nothing};
use crate::proxy::{Path, Proxy};
use crate::report::{Cell, Report, float};
use crate::{Carrier, Outcome, stage};

/// How long a block is.
const BLOCK_TIME: Duration = Duration::from_millis(10);

/// How long is talked before it is measured: the speaker has heard what is lost by then.
const WARM: Duration = Duration::from_secs(6);

/// How often a listener says what is lost.
const REPORT: Duration = Duration::from_secs(1);

/// How many calls there are of each case, at once.
const CALLS: u64 = 2;

/// What a network does.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    takes: [u64; 2],
    loses: [u32; 2],
    /// The highest mean, and 95th and 99th hundredths, in milliseconds, and concealed share in percent;
    /// by datagrams and by gossip.
    bars: [[f64; 4]; 2],
}

const NONE: [f64; 4] = [f64::INFINITY; 4];
const FAR: [u64; 2] = [30, 70];

const CASES: [Case; 6] = [
    Case {
        name: "loopback",
        takes: [0, 0],
        loses: [0, 0],
        bars: [[45.0, f64::INFINITY, 70.0, 0.0]; 2],
    },
    Case { name: "30 to 70 ms", takes: FAR, loses: [0, 0], bars: [NONE; 2] },
    Case { name: "the same, 1 % lost", takes: FAR, loses: [10, 10], bars: [NONE; 2] },
    Case {
        name: "5 %",
        takes: FAR,
        loses: [50, 50],
        bars: [[115.0, 150.0, f64::INFINITY, 1.5], [270.0, f64::INFINITY, f64::INFINITY, 0.5]],
    },
    Case { name: "10 %", takes: FAR, loses: [100, 100], bars: [NONE; 2] },
    Case { name: "5 % in bursts of three", takes: FAR, loses: [17, 667], bars: [NONE; 2] },
];

/// What came out of a call.
struct Heard {
    /// Microseconds.
    delays: Vec<u32>,
    arrived: usize,
    before: PlayoutStatistics,
    after: PlayoutStatistics,
}

pub(crate) async fn measure(
    carriers: &[Carrier],
    length: Duration,
    seed: u64,
    report: &mut Report,
) -> Outcome<()> {
    // Made at once: nobody is to wait for what another says.
    let pcm: Arc<[f32]> = stage::talk((WARM + length).as_secs() as usize).into();
    for &carrier in carriers {
        let hub = Hub::start()?;
        let (mut calls, mut proxies) = (JoinSet::new(), JoinSet::new());
        let numbers = (0..CASES.len()).flat_map(|case| (0..CALLS).map(move |call| (case, call)));
        for (number, (case, call)) in numbers.enumerate() {
            let [least, most] = CASES[case].takes.map(Duration::from_millis);
            let seed = seed << 8 | call;
            let path = Path { takes: [least, most], loses: CASES[case].loses, seed };
            let proxy = Proxy::to(hub.socket()?, path).await?;
            let (gauge, by_there) = (proxy.gauge(), hub.behind(proxy.address()?)?);
            proxies.spawn(proxy.run());
            let by_here = hub.address(carrier)?.to_owned();
            let pcm = Arc::clone(&pcm);
            calls.spawn(Box::pin(async move {
                let mut call =
                    Box::pin(Call::begin(number, carrier, [&by_here, &by_there])).await?;
                gauge.lossy.store(true, Ordering::Relaxed);
                Outcome::Ok((case, Box::pin(call.talk(&pcm, seed)).await?))
            }));
        }
        let heard = calls.join_all().await.into_iter().collect::<Outcome<Vec<_>>>()?;
        for (number, case) in CASES.iter().enumerate() {
            let of_case = heard.iter().filter(|(case, _)| *case == number).map(|(_, heard)| heard);
            row(report, carrier, case, &of_case.collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// One who speaks, and one behind a network who hears.
struct Call {
    speaker: Room<Nothing>,
    input: AudioInput,
    listener: Member,
    arrivals: Arrivals,
    playout: Playout,
    name: StreamName,
}

impl Call {
    async fn begin(number: usize, carrier: Carrier, by: [&str; 2]) -> Outcome<Self> {
        let [by_here, by_there] = by;
        let room = format!("call {number}");
        let mut options = ConnectOptions::new(&room, APP_KEY, &[by_here]);
        options.net = carrier.net();
        let mut speaker = Room::connect(options)?;
        timeout(MEETING, speaker.ready()).await?.map_err(|reason| reason.to_string())?;
        let input = speaker.create_audio_input(AudioInputOptions::default())?;
        let settings = (carrier.net(), PeerConfig::default());
        let entering = Member::enter::<Nothing>(number, &room, by_there, settings);
        let mut listener = Box::pin(alive(&mut speaker, entering)).await?;
        listener.hear();
        let mut ears = Box::pin(alive(&mut speaker, listener.ears(1))).await?;
        let (_, arrivals) = ears.pop().ok_or("nobody speaks")?;
        let client = speaker.client().ok_or("the speaker is not there")?;
        let name = StreamName { client, number: input.number() };
        let playout = Playout::new(PlayoutConfig::default(), Opus.decoder()?);
        Ok(Self { speaker, input, listener, arrivals, playout, name })
    }

    async fn talk(&mut self, pcm: &[f32], seed: u64) -> Outcome<Heard> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let beginning = Instant::now() + BLOCK_TIME / 64 * (rng.next_u32() % 64);
        let (mut delays, mut arrived, mut reported) = (Vec::new(), 0, WARM / 3);
        let mut before = self.playout.statistics();
        let mut last = before;
        for (number, said) in (0_u32..).zip(pcm.chunks_exact(BLOCK)) {
            let elapsed = BLOCK_TIME * number;
            sleep_until((beginning + elapsed).into()).await;
            let counts = elapsed >= WARM;
            if elapsed == WARM {
                before = self.playout.statistics();
            }
            self.speaker.tick();
            while self.speaker.poll_event().is_some() {}
            self.input.push(said)?;
            self.listener.step(Instant::now()).await;
            while self.listener.peer.poll_event().is_some() {}
            while let Some(arrival) = self.arrivals.pop() {
                arrived += usize::from(counts);
                self.playout.on_packet(arrival.at, Packet::read(arrival.packet().clone())?);
            }
            let delay = self.play();
            delays.extend(delay.filter(|_| counts));
            if elapsed >= reported {
                reported += REPORT;
                last = self.tell(last);
            }
        }
        Ok(Heard { delays, arrived, before, after: self.playout.statistics() })
    }

    /// Plays a block. Returns how many microseconds ago it was captured, if it was.
    fn play(&mut self) -> Option<u32> {
        let mut out = [0.0; BLOCK];
        let time = self.playout.pull(self.listener.now(), &mut out).time?;
        #[expect(clippy::cast_possible_truncation, reason = "packets have the low 32 bits")]
        let now = media_time(self.speaker.room_time()) as u32;
        let samples = now.wrapping_sub(time).cast_signed().max(0).cast_unsigned();
        Some(u32::try_from(u64::from(samples) * 125 / 6).unwrap_or(u32::MAX))
    }

    /// Tells the speaker what was lost since.
    fn tell(&mut self, last: PlayoutStatistics) -> PlayoutStatistics {
        let now = self.playout.statistics();
        let frames = (now.voice - last.voice) / 960;
        let lost = (100 * (now.lost - last.lost)).checked_div(frames).unwrap_or(0);
        let lost = u8::try_from(lost.min(100)).unwrap_or(100);
        let at = self.listener.now();
        self.listener.peer.report_reception([(self.name, lost)], at);
        self.listener.perform();
        now
    }
}

/// Awaits something, and lets the speaker's room live meanwhile.
async fn alive<T>(
    speaker: &mut Room<Nothing>,
    waited: impl Future<Output = Outcome<T>>,
) -> Outcome<T> {
    let mut waited = Box::pin(waited);
    loop {
        tokio::select! {
            outcome = &mut waited => return outcome,
            () = speaker.wait(BLOCK_TIME) => {}
        }
    }
}

fn row(report: &mut Report, carrier: Carrier, case: &Case, heard: &[&Heard]) {
    let sum = |of: fn(&PlayoutStatistics) -> u64| {
        let counts = heard.iter().map(|heard| of(&heard.after) - of(&heard.before));
        float(counts.sum::<u64>() as usize)
    };
    let mut delays: Vec<u32> = heard.iter().flat_map(|heard| heard.delays.clone()).collect();
    delays.sort_unstable();
    let mean = delays.iter().map(|delay| f64::from(*delay)).sum::<f64>() / float(delays.len());
    let p95 = delays.get(delays.len() * 95 / 100).map_or(f64::NAN, |delay| f64::from(*delay) / 1e3);
    let Ages { slow, slowest, .. } = Ages::of(delays);
    let own = heard.iter().map(|heard| heard.after.mean_delay.as_secs_f64() * 1e3).sum::<f64>();
    let [by_datagrams, by_gossip] = case.bars;
    let bars = if carrier == Carrier::Datagrams { by_datagrams } else { by_gossip };
    let cell = |figure: f64, bar: f64, digits| match bar.is_finite() {
        true => Cell::at_most(figure, bar, digits),
        false => Cell::number(figure, digits),
    };
    let voice = sum(|it| it.voice);
    let arrived: usize = heard.iter().map(|heard| heard.arrived).sum();
    report.row(
        "delay: from the capture of a frame's first sample to its playout",
        vec![
            ("carrier", Cell::text(carrier.name())),
            ("network", Cell::text(case.name)),
            ("mean ms", cell(mean / 1e3, bars[0], 1)),
            ("p95 ms", cell(p95, bars[1], 1)),
            ("p99 ms", cell(slow, bars[2], 1)),
            ("max ms", Cell::number(slowest, 1)),
            ("by its statistics", Cell::number(own / float(heard.len()), 1)),
            ("concealed %", cell(100.0 * sum(|it| it.concealed) / voice, bars[3], 2)),
            ("packets", Cell::number(float(arrived), 0)),
            ("not in time", Cell::number(sum(|it| it.lost), 0)),
            ("recovered", Cell::number(sum(|it| it.recovered), 0)),
            ("repeated", Cell::number(sum(|it| it.repeated), 0)),
            ("late", Cell::number(sum(|it| it.late), 0)),
            ("stretches", Cell::number(sum(|it| it.stretches), 0)),
        ],
    );
}
