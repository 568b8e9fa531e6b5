//! Voice over sockets: what one says another hears, by datagram and by gossip, while it wants to.

use std::time::Duration;

use parlor::net::{Clock, NetConfig};
use parlor::proto::audio::stream::Hearing;
use parlor::proto::config::HubConfig;
use parlor::proto::event::Event;
use parlor::proto::event::voice::VoiceEvent;
use parlor::proto::id::Identity;
use parlor::proto::time::Time;
use parlor::room::{ConnectOptions, Room};
use parlor::{AudioError, AudioInput, AudioInputOptions, AudioOutput, ClientNumber};

use super::{Host, LISTEN, Table, within};

/// Samples of a channel that a device takes and gives at once, 10 ms.
const STEP: usize = 480;

/// A voice: a pitch of 120 Hz with its overtones, in syllables of a fifth of a second.
fn voice(at: usize) -> f32 {
    let time = at as f32 / 48_000.0;
    let buzz: f32 = (1..20_u8)
        .map(|overtone| {
            let overtone = f32::from(overtone);
            (time * 120.0 * overtone * std::f32::consts::TAU).sin() / overtone
        })
        .sum();
    let syllable = (time * 2.5 * std::f32::consts::TAU).sin().abs();
    buzz * syllable * 0.1
}

fn power(pcm: &[f32]) -> f32 {
    pcm.iter().map(|sample| sample * sample).sum::<f32>() / pcm.len().max(1) as f32
}

/// Two rooms of which the first speaks to the second.
pub(super) struct Call {
    rooms: [Room<Table>; 2],
    input: AudioInput,
    pub(super) output: AudioOutput,
    said: usize,
}

impl Call {
    /// A call over the transports whose addresses have `part` in them.
    async fn begin(host: &Host, part: &str) -> Self {
        let addresses: Vec<&str> =
            host.addresses.iter().map(String::as_str).filter(|it| it.contains(part)).collect();
        Box::pin(Self::over(&addresses, &NetConfig::default())).await
    }

    /// A call by a relay's addresses.
    pub(super) async fn over(addresses: &[&str], net: &NetConfig) -> Self {
        let options = || {
            let options = ConnectOptions::new("call", "end to end", addresses);
            ConnectOptions { net: net.clone(), ..options }
        };
        let mut rooms = [(); 2].map(|()| Room::<Table>::connect(options()).unwrap());
        for room in &mut rooms {
            within(room.ready()).await.unwrap();
        }
        rooms[1].set_hearing(Hearing::default()).unwrap();
        let input = rooms[0].create_audio_input(AudioInputOptions::default()).unwrap();
        let opened = |event: &Event| match event {
            Event::Voice(VoiceEvent::Opened(stream)) => Some(stream.name),
            _ => None,
        };
        let name = within(async {
            loop {
                rooms.iter_mut().for_each(Room::tick);
                if let Some(name) =
                    std::iter::from_fn(|| rooms[1].poll_event()).find_map(|event| opened(&event))
                {
                    break name;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let output = rooms[1].audio_output(name.client, name.number, (48_000, 1)).unwrap();
        within(async {
            while !input.is_live() {
                rooms.iter_mut().for_each(Room::tick);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        Self { rooms, input, output, said: 0 }
    }

    /// Says something for so long, and returns what is heard of it.
    pub(super) async fn talk(&mut self, length: Duration) -> Vec<f32> {
        let mut heard = Vec::new();
        let mut clock = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..length.as_millis() / 10 {
            clock.tick().await;
            heard.extend(self.step());
        }
        heard
    }

    /// What is said and heard in 10 ms.
    fn step(&mut self) -> [f32; STEP] {
        self.rooms.iter_mut().for_each(|room| {
            room.tick();
            while room.poll_event().is_some() {}
        });
        let pcm: Vec<f32> = (self.said..self.said + STEP).map(voice).collect();
        self.said += STEP;
        self.input.push(&pcm).unwrap();
        let mut out = [0.0_f32; STEP];
        self.output.read(&mut out).unwrap();
        out
    }

    /// Goes on until something is heard. Returns how long that took.
    async fn until_heard(&mut self) -> Duration {
        let since = Clock::new();
        let mut clock = tokio::time::interval(Duration::from_millis(10));
        within(async {
            while power(&self.step()) < 1e-5 {
                clock.tick().await;
            }
        })
        .await;
        since.now().since(Time::ZERO)
    }
}

async fn heard_over(part: &str) {
    let identity = Identity::from_seed([1; 32]);
    let host = Box::pin(Host::start(&identity, &LISTEN, HubConfig::default())).await;
    let mut call = Box::pin(Call::begin(&host, part)).await;
    let heard = call.talk(Duration::from_secs(3)).await;
    let loud = power(&heard[heard.len() / 2..]);
    assert!(loud > 1e-4, "{part}: {loud}");
    let statistics = call.output.statistics();
    assert!(statistics.mean_delay < Duration::from_millis(400), "{part}: {statistics:?}");
    // Muted it is silent within a second, and heard again at once.
    let (mut unmuted, mut wanted) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        call.rooms[0].mute_audio_input(call.input.number(), true);
        let heard = call.talk(Duration::from_millis(1_500)).await;
        assert!(power(&heard[heard.len() - 4 * STEP..]) < 1e-6, "{part}: muted");
        call.rooms[0].mute_audio_input(call.input.number(), false);
        unmuted.push(call.until_heard().await);
        let heard = call.talk(Duration::from_millis(400)).await;
        assert!(power(&heard) > 1e-4, "{part}: it speaks again");
        // So it is when the other does not want to hear it.
        call.rooms[1].set_hearing(Hearing { deaf: true, ..Hearing::default() }).unwrap();
        let heard = call.talk(Duration::from_millis(1_500)).await;
        assert!(power(&heard[heard.len() - 4 * STEP..]) < 1e-6, "{part}: deaf");
        call.rooms[1].set_hearing(Hearing::default()).unwrap();
        wanted.push(call.until_heard().await);
        let heard = call.talk(Duration::from_millis(400)).await;
        assert!(power(&heard) > 1e-4, "{part}: it hears again");
    }
    for mut waits in [unmuted, wanted] {
        // The median: the machine may have had something else to do.
        waits.sort_unstable();
        assert!(waits[1] <= Duration::from_millis(300), "{part}: {waits:?}");
    }
    call.rooms[0].close_audio_input(call.input.number());
    call.talk(Duration::from_millis(300)).await;
    assert!(!call.input.is_live() && !call.output.is_open());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_says_another_hears_by_datagram() {
    Box::pin(heard_over("quic")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_says_another_hears_by_gossip() {
    Box::pin(heard_over("/tcp/")).await;
}

#[test]
fn a_room_without_a_network_neither_speaks_nor_hears() {
    let mut room = Room::<Table>::connect(ConnectOptions::new("call", "end to end", &[])).unwrap();
    let input = room.create_audio_input(AudioInputOptions::default());
    assert!(matches!(input, Err(AudioError::Offline)));
    let output = room.audio_output(ClientNumber(1), 0, (48_000, 1));
    assert!(matches!(output, Err(AudioError::Offline)));
}
