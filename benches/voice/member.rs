//! A member of a room whose packets are made elsewhere: a peer and its carrier, without the parts that
//! encode and play.

use std::time::{Duration, Instant};

use bytes::Bytes;
use parlor::net::{self, Arrivals, Clock, Ear, NetConfig, VoiceDesk};
use parlor::proto::audio::packet::{Kind, Level, Packet};
use parlor::proto::audio::stream::{Hearing, Stream, StreamName, Topic};
use parlor::proto::config::PeerConfig;
use parlor::proto::peer::{Peer, Setup};
use parlor::proto::service::Entrance;
use parlor::proto::time::Time;
use parlor::{AppKey, Identity, Model, RoomName, State};
use tokio::runtime::Handle;
use tokio::time::timeout_at;

use crate::Outcome;
use crate::hub::APP_KEY;

/// How long everybody may take to be there.
pub(crate) const MEETING: Duration = Duration::from_secs(60);

/// Bytes of 20 ms of voice at 32 kb/s.
const FRAME: usize = 80;

/// How long a frame is.
pub(crate) const FRAME_TIME: Duration = Duration::from_millis(20);

/// Packets that may wait to be looked at, 5 s of them.
const WAITING: usize = 256;

#[derive(Clone, Debug, Default, Model)]
pub(crate) struct Nothing {}

/// A member of a room.
pub(crate) struct Member {
    pub(crate) peer: Peer,
    carrier: net::Carrier,
    /// When the carrier's clock began.
    beginning: Instant,
}

impl Member {
    /// Comes into a room, and is there. Numbers tell members of a relay from each other.
    pub(crate) async fn enter<M: Model>(
        number: usize,
        room: &str,
        address: &str,
        (net, config): (NetConfig, PeerConfig),
    ) -> Outcome<Self> {
        let number = u32::try_from(number)? + 1;
        let mut seed = [7; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        let identity = Identity::from_seed(seed);
        let setup = Setup {
            identity: identity.clone(),
            app_key: AppKey::new(APP_KEY)?,
            room: RoomName::new(room)?,
            metadata: Bytes::new(),
            incarnation: Clock::unix_micros() / 1_000,
            shape: M::shape(),
            entrance: Entrance::default(),
        };
        let peer = Peer::new(setup, config, seed);
        let carrier = net::Carrier::on(&Handle::current(), &identity, vec![address.parse()?], net)?;
        let beginning = Instant::now() - carrier.now().since(Time::ZERO);
        let mut member = Self { peer, carrier, beginning };
        member.peer.connect(member.carrier.now());
        member.perform();
        member.until(|member| matches!(member.peer.state(), State::Ready)).await?;
        Ok(member)
    }

    /// Waits until something is so.
    pub(crate) async fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> Outcome<()> {
        let end = Instant::now() + MEETING;
        while !is_so(self) {
            if Instant::now() > end {
                return Err(format!("it is not so after {MEETING:?}").into());
            }
            if let State::Closed(reason) = self.peer.state() {
                return Err(reason.to_string().into());
            }
            self.step(Instant::now() + Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Waits until something came or is due, at most until a moment, and lets it happen.
    pub(crate) async fn step(&mut self, latest: Instant) {
        let due = self.peer.poll_timeout().map(|due| self.instant(due));
        let due = due.map_or(latest, |due| due.min(latest));
        if let Ok(input) = timeout_at(due.into(), self.carrier.wait_input()).await {
            self.peer.handle(self.carrier.now(), input);
            self.perform();
        }
        while let Some(input) = self.carrier.poll_input() {
            self.peer.handle(self.carrier.now(), input);
            self.perform();
        }
        self.peer.tick(self.carrier.now());
        self.perform();
    }

    /// Goes on until a moment.
    pub(crate) async fn live(&mut self, end: Instant) {
        while Instant::now() < end {
            self.step(end).await;
            while self.peer.poll_event().is_some() {}
        }
    }

    pub(crate) fn perform(&mut self) {
        while let Some(effect) = self.peer.poll_effect() {
            self.carrier.perform(effect);
        }
    }

    /// A time of its clock.
    pub(crate) fn instant(&self, at: Time) -> Instant {
        self.beginning + at.since(Time::ZERO)
    }

    pub(crate) fn now(&self) -> Time {
        self.carrier.now()
    }

    /// Hears everybody.
    pub(crate) fn hear(&mut self) {
        self.peer.set_hearing(Hearing::default(), self.carrier.now());
        self.perform();
    }

    /// Opens a stream, and waits until it is heard.
    pub(crate) async fn open(&mut self) -> Outcome<Mouth> {
        let number = self.peer.open_stream(false, self.carrier.now())?;
        self.perform();
        self.until(|member| member.own(number).is_some()).await?;
        let stream = self.own(number).ok_or("the stream is closed again")?;
        Ok(Mouth { desk: self.carrier.voice(), topic: stream.topic, epoch: stream.epoch })
    }

    fn own(&self, number: u8) -> Option<Stream> {
        let client = self.peer.client()?;
        let stream = self.peer.stream(StreamName { client, number })?;
        (Some(stream.epoch) == self.peer.stream_epoch(number)).then_some(*stream)
    }

    /// Waits until so many others speak, and listens to all of them: with the epochs of their streams.
    pub(crate) async fn ears(&mut self, others: usize) -> Outcome<Vec<(u32, Arrivals)>> {
        self.until(|member| member.others().count() >= others).await?;
        let desk = self.carrier.voice();
        let ears = self.others().map(|stream| {
            let (ear, arrivals) = Ear::ring(WAITING);
            desk.listen(stream.topic, ear);
            (stream.epoch, arrivals)
        });
        Ok(ears.collect())
    }

    fn others(&self) -> impl Iterator<Item = &Stream> {
        let me = self.peer.client();
        self.peer.streams().filter(move |stream| Some(stream.name.client) != me)
    }
}

/// Where one says something.
pub(crate) struct Mouth {
    desk: VoiceDesk,
    topic: Topic,
    pub(crate) epoch: u32,
}

impl Mouth {
    /// Something of 20 ms, with a number.
    pub(crate) fn frame(&self, number: u16) -> Bytes {
        self.packet(Kind::Audio, number, Bytes::from_static(&[0x5a; FRAME]))
    }

    /// How loud silence is.
    pub(crate) fn comfort(&self, number: u16) -> Bytes {
        self.packet(Kind::Comfort, number, Bytes::new())
    }

    fn packet(&self, kind: Kind, number: u16, frame: Bytes) -> Bytes {
        let packet = Packet {
            kind,
            first: kind == Kind::Audio && number == 0,
            level: Level { voice: kind == Kind::Audio, dbov: 30 },
            sequence: number,
            time: u32::from(number) * 960,
            epoch: self.epoch,
            previous: None,
            frame,
        };
        packet.write()
    }

    /// Says something. Whether it was taken.
    pub(crate) fn say(&self, packet: Bytes) -> bool {
        self.desk.speak(self.topic, packet)
    }
}
