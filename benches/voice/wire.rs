//! What voice costs one listener on the wire, with every header, all that its link carries beside it
//! included.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parlor::net::Arrivals;
use parlor::proto::config::PeerConfig;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::hub::Hub;
use crate::member::{FRAME_TIME, Member, Mouth, Nothing};
use crate::proxy::{Gauge, Path, Proxy};
use crate::report::{Cell, Report, float};
use crate::{Carrier, Outcome, plain};

/// How long each goes on before it is counted: the probes for longer packets are through by then.
pub(crate) const WARM: Duration = Duration::from_secs(4);

/// How often somebody who is silent says how loud that is.
const COMFORT: Duration = Duration::from_millis(400);

/// How many speak at most.
const MOST: usize = 3;

/// What one listener cost.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// Of those who speak: how many, and how many packets of theirs there were and were heard.
    pub(crate) speakers: usize,
    pub(crate) said: usize,
    pub(crate) heard: usize,
    pub(crate) length: Duration,
    /// Packets and bytes, up and down.
    pub(crate) up: [u64; 2],
    pub(crate) down: [u64; 2],
}

/// What is on the wire between two moments.
pub(crate) struct Counter<'a> {
    gauge: &'a Gauge,
    beginning: Instant,
    before: [[u64; 2]; 2],
}

impl<'a> Counter<'a> {
    pub(crate) fn new(gauge: &'a Gauge) -> Self {
        Self { gauge, beginning: Instant::now(), before: Self::read(gauge) }
    }

    fn read(gauge: &Gauge) -> [[u64; 2]; 2] {
        let ([up, _], [down, _]) = (&gauge.up, &gauge.down);
        [up.into(), down.into()]
    }

    pub(crate) fn cost(&self, speakers: usize, said: usize, heard: usize) -> Cost {
        let now = Self::read(self.gauge);
        let [up, down] = [0, 1].map(|way| [0, 1].map(|at| now[way][at] - self.before[way][at]));
        Cost { speakers, said, heard, length: self.beginning.elapsed(), up, down }
    }
}

pub(crate) async fn measure(
    carriers: &[Carrier],
    length: Duration,
    report: &mut Report,
) -> Outcome<()> {
    for &carrier in carriers {
        Box::pin(ours(carrier, length, report)).await?;
    }
    for is_signed in [true, false] {
        let name = if is_signed { "gossipsub, signed" } else { "gossipsub, anonymous" };
        for speakers in [1, MOST] {
            let cost = Box::pin(plain::measure(speakers, is_signed, length)).await?;
            row(report, name, "speech", cost, f64::INFINITY);
        }
    }
    Ok(())
}

/// A listener behind a proxy that counts, and those who speak.
struct Stage {
    listener: Member,
    ears: Vec<Arrivals>,
    mouths: Vec<Arc<Mouth>>,
    gauge: Arc<Gauge>,
    /// How many packets each has said.
    said: u16,
}

async fn ours(carrier: Carrier, length: Duration, report: &mut Report) -> Outcome<()> {
    let hub = Hub::start()?;
    let proxy = Proxy::to(hub.socket()?, Path::even(Duration::ZERO, 0, 0)).await?;
    let (gauge, by_here) = (proxy.gauge(), hub.behind(proxy.address()?)?);
    let mut tasks = JoinSet::new();
    tasks.spawn(proxy.run());
    let settings = || (carrier.net(), PeerConfig::default());
    let mut listener = Box::pin(Member::enter::<Nothing>(0, "room", &by_here, settings())).await?;
    listener.hear();
    let mut stage = Stage { listener, ears: Vec::new(), mouths: Vec::new(), gauge, said: 0 };
    let idle = stage.cost(None, length).await;
    row(report, carrier.name(), "a room, no voice", idle, f64::INFINITY);
    for number in 1..=MOST {
        let address = hub.address(carrier)?;
        let mut member =
            Box::pin(Member::enter::<Nothing>(number, "room", address, settings())).await?;
        let mouth = member.open().await?;
        stage.mouths.push(Arc::new(mouth));
        tasks.spawn(Box::pin(async move {
            loop {
                member.live(Instant::now() + Duration::from_secs(1)).await;
            }
        }));
        let ears = stage.listener.ears(number).await?;
        stage.ears = ears.into_iter().map(|(_, ears)| ears).collect();
        if number == 1 {
            let silent = stage.cost(Some(COMFORT), length).await;
            row(report, carrier.name(), "silence", silent, 2.0);
        }
        let bar = match (number, carrier) {
            (1, Carrier::Datagrams) => 60.0,
            (1, Carrier::Gossip | Carrier::Streams) => 80.0,
            _ => 50.0,
        };
        if number == 1 || number == MOST {
            let talking = stage.cost(Some(FRAME_TIME), length).await;
            row(report, carrier.name(), "speech", talking, bar);
        }
    }
    Ok(())
}

impl Stage {
    /// What it costs while everybody says something so often, all at once; or nobody anything.
    async fn cost(&mut self, every: Option<Duration>, length: Duration) -> Cost {
        let mut talking = JoinSet::new();
        if let Some(every) = every {
            talking.spawn(talk(self.mouths.clone(), every, self.said, WARM + length));
        }
        self.listener.live(Instant::now() + WARM).await;
        self.pop();
        let gauge = Arc::clone(&self.gauge);
        let counter = Counter::new(&gauge);
        let mut heard = 0;
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.listener.live(end.min(Instant::now() + Duration::from_secs(1))).await;
            heard += self.pop();
        }
        let said = every.map_or(0, |every| (length.as_millis() / every.as_millis()) as usize);
        let speakers = self.mouths.len();
        let cost = counter.cost(speakers, said * speakers, heard);
        let numbers = talking.join_all().await;
        self.said = numbers.into_iter().fold(self.said, u16::max);
        cost
    }

    fn pop(&mut self) -> usize {
        self.ears.iter_mut().map(|ear| std::iter::from_fn(|| ear.pop()).count()).sum()
    }
}

/// Returns how many packets each has said then.
async fn talk(mouths: Vec<Arc<Mouth>>, every: Duration, from: u16, length: Duration) -> u16 {
    let end = Instant::now() + length;
    let mut frames = interval(every);
    frames.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = from;
    while Instant::now() < end {
        frames.tick().await;
        for mouth in &mouths {
            let packet: Bytes =
                if every == FRAME_TIME { mouth.frame(number) } else { mouth.comfort(number) };
            // What is not taken is not heard.
            let _taken = mouth.say(packet);
        }
        number = number.wrapping_add(1);
    }
    number
}

fn row(report: &mut Report, by: &str, what: &str, cost: Cost, bar: f64) {
    let seconds = cost.length.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far below what a float counts")]
    let kilobits = |[_, bytes]: [u64; 2]| bytes as f64 * 8.0 / 1e3 / seconds;
    let down = kilobits(cost.down);
    let each = down / float(cost.speakers.max(1));
    let each = if bar.is_finite() { Cell::at_most(each, bar, 1) } else { Cell::number(each, 1) };
    let frames = seconds / FRAME_TIME.as_secs_f64();
    let packets = float(cost.down[0] as usize);
    report.row(
        "wire: what one listener costs, with IP and UDP headers",
        vec![
            ("by", Cell::text(by)),
            ("what", Cell::text(what)),
            ("speakers", Cell::number(float(cost.speakers), 0)),
            ("heard %", Cell::number(100.0 * float(cost.heard) / float(cost.said.max(1)), 1)),
            ("down kb/s", Cell::number(down, 1)),
            ("each", each),
            ("up kb/s", Cell::number(kilobits(cost.up), 1)),
            ("down packets a frame", Cell::number(packets / frames, 2)),
            ("down packets/s", Cell::number(packets / seconds, 1)),
        ],
    );
}
