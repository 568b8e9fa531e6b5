//! Several who speak and one who listens, over sockets: what is mixed, how loud it is, and who speaks.

use std::time::Duration;

use parlor::audio::input::TalkConfig;
use parlor::net::Clock;
use parlor::proto::config::HubConfig;
use parlor::proto::event::Event;
use parlor::room::{ConnectOptions, Room};
use parlor::{
    AudioInput, AudioInputOptions, AudioOutput, Identity, Listener, PeerId, StreamLevel,
    StreamName, VoiceEvent, VoiceOptions,
};

use super::{Host, LISTEN, PATIENCE, Table, within};

/// Samples that a device takes and gives at once, 10 ms.
const STEP: usize = 480;

/// How much of a pitch there is at least where somebody is heard.
const HEARD: f32 = 0.02;

/// Somebody in a room who may hum, and may listen.
pub(super) struct Member {
    pub(super) room: Room<Table>,
    pub(super) input: Option<AudioInput>,
    pub(super) listener: Option<Listener>,
    pitch: f32,
    said: usize,
    /// What was told of voice.
    pub(super) told: Vec<VoiceEvent>,
}

/// A tone with overtones, as a voice has them.
fn hum(pitch: f32, at: usize) -> f32 {
    let time = at as f32 / 48_000.0;
    let overtone =
        |k: u8| (std::f32::consts::TAU * time * pitch * f32::from(k)).sin() / f32::from(k);
    (1..8).map(overtone).sum::<f32>() * 0.1
}

/// How much of something is of a pitch.
pub(super) fn tone(pcm: &[f32], pitch: f32) -> f32 {
    let part = |turn: fn(f32) -> f32| {
        let of = |(i, sample): (usize, &f32)| {
            sample * turn(std::f32::consts::TAU * pitch * i as f32 / 48_000.0)
        };
        pcm.iter().enumerate().map(of).sum::<f32>() / pcm.len().max(1) as f32
    };
    part(f32::sin).hypot(part(f32::cos))
}

impl Member {
    /// Somebody of a pitch, on the way into a room.
    pub(super) fn enter(host: &Host, who: u8, pitch: f32, voice: Option<VoiceOptions>) -> Self {
        Self::enter_at((host, "voices"), who, pitch, voice)
    }

    /// The same, for a room of another name.
    pub(super) fn enter_at(
        (host, room): (&Host, &str),
        who: u8,
        pitch: f32,
        voice: Option<VoiceOptions>,
    ) -> Self {
        let addresses: Vec<&str> = host.addresses.iter().map(String::as_str).collect();
        let mut options = ConnectOptions::new(room, "end to end", &addresses);
        options.identity = Some(Identity::from_seed([who; 32]));
        options.voice = voice;
        Self::of(Room::connect(options).unwrap(), pitch)
    }

    /// Somebody of a pitch, in a room.
    pub(super) const fn of(room: Room<Table>, pitch: f32) -> Self {
        Self { room, input: None, listener: None, pitch, said: 0, told: Vec::new() }
    }

    /// It speaks without a pause.
    pub(super) fn speak(&mut self) {
        let talk = TalkConfig { discontinuous: false, ..TalkConfig::default() };
        let options = AudioInputOptions { talk, ..AudioInputOptions::default() };
        self.input = Some(self.room.create_audio_input(options).unwrap());
    }

    pub(super) fn listen(&mut self) {
        self.listener = Some(self.room.listen((48_000, 1)).unwrap());
    }

    /// What its devices do in 10 ms, and what it hears.
    fn step(&mut self) -> [f32; STEP] {
        self.room.tick();
        while let Some(event) = self.room.poll_event() {
            if let Event::Voice(voice) = event {
                self.told.push(voice);
            }
        }
        if let Some(input) = &mut self.input {
            let pcm: [f32; STEP] = std::array::from_fn(|i| hum(self.pitch, self.said + i));
            input.push(&pcm).unwrap();
        }
        self.said += STEP;
        let mut out = [0.0; STEP];
        if let Some(listener) = &mut self.listener {
            listener.read(&mut out).unwrap();
        }
        out
    }
}

/// Lets all do what they do for so long. Returns what each heard.
pub(super) async fn run(members: &mut [Member], length: Duration) -> Vec<Vec<f32>> {
    let mut heard = vec![Vec::new(); members.len()];
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..length.as_millis() / 10 {
        clock.tick().await;
        for (member, heard) in members.iter_mut().zip(&mut heard) {
            heard.extend(member.step());
        }
    }
    heard
}

/// Lets all do what they do until something holds.
pub(super) async fn run_until(members: &mut [Member], holds: impl Fn(&[Member]) -> bool) {
    within(async {
        while !holds(members) {
            run(members, Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// Waits until the last of `members` hears those of the others that it is to hear, and no more.
pub(super) async fn hears(members: &mut [Member], who: &[bool]) {
    let pitches: Vec<f32> = members.iter().map(|member| member.pitch).take(who.len()).collect();
    let mut tones = Vec::new();
    for _ in 0..PATIENCE.as_millis() / 200 {
        let heard = run(members, Duration::from_millis(200)).await.pop().unwrap();
        tones = pitches.iter().map(|pitch| tone(&heard, *pitch)).collect();
        let is = |(tone, is): (&f32, &bool)| if *is { *tone > HEARD } else { *tone < HEARD / 8.0 };
        if tones.iter().zip(who).all(is) {
            return;
        }
    }
    panic!("{who:?}: {tones:?}");
}

/// The stream of a member, as another knows it.
fn stream(of: PeerId, at: &Member) -> Option<StreamName> {
    at.room.streams().find(|stream| stream.peer == of).map(|stream| stream.name)
}

pub(super) async fn start() -> Host {
    let identity = Identity::from_seed([1; 32]);
    Box::pin(Host::start(&identity, &LISTEN, HubConfig::default())).await
}

/// Two who speak, and one who listens.
fn three(host: &Host) -> Vec<Member> {
    let voice = || Some(VoiceOptions::default());
    let mut members = vec![
        Member::enter(host, 2, 200.0, voice()),
        Member::enter(host, 3, 310.0, voice()),
        Member::enter(host, 4, 0.0, voice()),
    ];
    // Asked for before the room is there.
    members.iter_mut().take(2).for_each(Member::speak);
    members[2].listen();
    members
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_hears_whom_it_wants_to_and_as_loud() {
    let host = start().await;
    let mut members = three(&host);
    let [one, other] = [0, 1].map(|at| members[at].room.peer());
    hears(&mut members, &[true, true]).await;
    assert_eq!(members[2].listener.as_ref().unwrap().voices(), 2);
    members[2].room.set_gain(one, 0.0).unwrap();
    hears(&mut members, &[false, true]).await;
    assert!(members[2].room.gain(one).abs() < f32::EPSILON);
    members[2].room.set_gain(one, 1.0).unwrap();
    members[2].room.silence_for_me(other, true).unwrap();
    hears(&mut members, &[true, false]).await;
    let names = |member: &Member| -> Vec<StreamName> {
        member.room.hearing_statistics().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&members[2]), [stream(one, &members[2]).unwrap()]);
    // Who hears nobody for a while keeps whom it silenced.
    members[2].room.deafen(true);
    hears(&mut members, &[false, false]).await;
    members[2].room.deafen(false);
    hears(&mut members, &[true, false]).await;
    members[2].room.silence_for_me(other, false).unwrap();
    hears(&mut members, &[true, true]).await;
    let heard = members[2].room.hearing_statistics();
    let voice: Vec<u64> = heard.map(|(_, statistics)| statistics.voice).collect();
    assert!(voice.len() == 2 && voice.iter().all(|voice| *voice > 0), "{voice:?}");
    // Of two listeners the last hears.
    let mut before = members[2].listener.take().unwrap();
    members[2].listen();
    hears(&mut members, &[true, true]).await;
    let mut out = [0.0_f32; 4_800];
    for _ in 0..5 {
        before.read(&mut out).unwrap();
    }
    assert!(tone(&out, 200.0) < HEARD / 8.0);
    // What is closed is gone.
    let number = members[0].input.as_ref().unwrap().number();
    members[0].room.close_audio_input(number);
    run_until(&mut members, |members| members[2].listener.as_ref().unwrap().voices() == 1).await;
    hears(&mut members, &[false, true]).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_an_output_of_its_own_is_not_mixed_while_that_lives() {
    let host = start().await;
    let mut members = three(&host);
    let one = members[0].room.peer();
    hears(&mut members, &[true, true]).await;
    let name = stream(one, &members[2]).unwrap();
    members[2].room.set_gain(one, 0.5).unwrap();
    let ask = |members: &mut [Member]| -> AudioOutput {
        members[2].room.audio_output(name.client, name.number, (48_000, 1)).unwrap()
    };
    let mut output = ask(&mut members);
    hears(&mut members, &[false, true]).await;
    let mut loud = 0.0;
    within(async {
        while loud < HEARD / 2.0 {
            run(&mut members, Duration::from_millis(100)).await;
            let mut out = [0.0_f32; 4_800];
            output.read(&mut out).unwrap();
            loud = tone(&out, 200.0);
        }
    })
    .await;
    assert!(output.is_open() && output.statistics().voice > 0);
    drop(output);
    hears(&mut members, &[true, true]).await;
    assert_eq!(members[2].room.hearing_statistics().count(), 2);
    host.stop().await;
}

/// The levels that a member was told of another, in dBov, once each report.
fn levels(told: &[VoiceEvent], of: PeerId) -> Vec<u8> {
    let reports = told.iter().filter_map(|told| match told {
        VoiceEvent::Levels(levels) => levels.iter().find(|level| level.peer == of),
        _ => None,
    });
    reports.map(|StreamLevel { level, .. }| level.dbov).collect()
}

fn speaks(told: &[VoiceEvent], of: PeerId) -> Option<bool> {
    told.iter().rev().find_map(|told| match told {
        VoiceEvent::Speaking { peer, speaking, .. } if *peer == of => Some(*speaking),
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_how_loud_it_is_and_who_speaks_until_it_is_muted() {
    let host = start().await;
    let quiet = VoiceOptions { levels: Duration::ZERO, ..VoiceOptions::default() };
    let mut members = vec![
        Member::enter(&host, 2, 200.0, Some(VoiceOptions::default())),
        Member::enter(&host, 3, 310.0, Some(quiet)),
        // It listens to nothing that it hears.
        Member::enter(&host, 4, 0.0, Some(VoiceOptions::default())),
    ];
    members[0].speak();
    let one = members[0].room.peer();
    let all_know = |is| {
        move |members: &[Member]| members.iter().all(|member| speaks(&member.told, one) == Some(is))
    };
    run_until(&mut members, all_know(true)).await;
    members.iter_mut().for_each(|member| member.told.clear());
    let clock = Clock::new();
    run(&mut members, Duration::from_secs(1)).await;
    let most = clock.now().as_micros().div_ceil(100_000) as usize;
    for at in [0, 2] {
        let levels = levels(&members[at].told, one);
        assert!((5..=most).contains(&levels.len()), "{at}: {levels:?}");
        // The hum has a mean power of 21 dB under overload.
        assert!(levels.iter().all(|level| (18..25).contains(level)), "{at}: {levels:?}");
    }
    assert!(levels(&members[1].told, one).is_empty(), "it wants to know of none");
    // Muted, it stops at once, and nothing is told of it any more.
    let number = members[0].input.as_ref().unwrap().number();
    members[0].room.mute_audio_input(number, true);
    run_until(&mut members, all_know(false)).await;
    members.iter_mut().for_each(|member| member.told.clear());
    run(&mut members, Duration::from_millis(300)).await;
    assert!(members.iter().all(|member| levels(&member.told, one).is_empty()));
    members[0].room.mute_audio_input(number, false);
    run_until(&mut members, all_know(true)).await;
    // Silenced by one, it is silent to that one alone.
    members[2].room.silence_for_me(one, true).unwrap();
    run_until(&mut members, |members| speaks(&members[2].told, one) == Some(false)).await;
    run(&mut members, Duration::from_millis(500)).await;
    assert_eq!(speaks(&members[1].told, one), Some(true));
    host.stop().await;
}
