//! Voices without a relay: which streams go on by direct links, of whom, and until when.

use std::collections::BTreeSet;
use std::slice;
use std::time::Duration;

use parlor::proto::audio::stream::{Hearing, Share, Shared, Stream, StreamEnd, StreamName, Topic};
use parlor::proto::config::HubConfig;
use parlor::proto::event::voice::VoiceEvent;
use parlor::proto::event::{Event, Input};
use parlor::{Entrance, Request, State};

use super::stage::{CALM, Stage};

const MOMENT: Duration = Duration::from_millis(500);

/// The one stream that an end knows of another.
fn stream(stage: &Stage, end: usize, of: usize) -> Option<Stream> {
    let mut streams = stage.at(end).streams().filter(|stream| stream.peer == stage.id(of));
    let first = streams.next().copied();
    assert!(streams.next().is_none());
    first
}

fn is_live(told: &VoiceEvent) -> bool {
    matches!(told, VoiceEvent::Live { .. })
}

impl Stage {
    /// Two have a direct link, or not any more.
    pub(super) fn neighbours(&mut self, (one, other): (usize, usize), near: bool) {
        for (end, of) in [(one, other), (other, one)] {
            let peer = self.id(of);
            self.feed_end(end, Input::Neighbour { peer, near });
        }
    }

    /// The relay is gone for some.
    fn lose(&mut self, ends: &[usize]) {
        for end in ends {
            self.ends[*end].cut = true;
            self.cut(*end);
        }
        self.run(MOMENT);
    }

    fn find(&mut self, end: usize) {
        self.ends[end].cut = false;
        // It may have given up.
        self.connect(end);
        self.ready(end);
        self.run(MOMENT);
    }

    /// Whether an end hears another from that other itself.
    fn hears(&self, end: usize, of: usize) -> bool {
        let mine = &self.ends[end].shares;
        let speaks = self.ends[of].shares.values().filter(|it| it.share == Share::Speak);
        let mut heard = speaks.filter_map(|it| {
            assert_eq!(it.peer, self.id(of), "nobody speaks for another");
            mine.get(&it.direct).filter(|mine| mine.share == Share::Hear)
        });
        heard.next().is_some_and(|mine| mine.peer == self.id(of))
    }

    fn talk(&mut self, end: usize) {
        let now = self.now;
        self.at_mut(end).open_stream(false, now).unwrap();
        self.settle(end);
        self.run(MOMENT);
    }

    fn want(&mut self, end: usize, hearing: Hearing) {
        let now = self.now;
        self.at_mut(end).set_hearing(hearing, now);
        self.settle(end);
        self.run(MOMENT);
    }

    fn told(&self, end: usize) -> Vec<VoiceEvent> {
        let voice = |event: &Event| match event {
            Event::Voice(voice) => Some(voice.clone()),
            _ => None,
        };
        self.ends[end].events.iter().filter_map(voice).collect()
    }

    /// What an end was told of openings and ends since this was asked last.
    fn turns(&mut self, end: usize) -> Vec<VoiceEvent> {
        let is_turn =
            |it: &VoiceEvent| matches!(it, VoiceEvent::Opened(_) | VoiceEvent::Closed { .. });
        let turns = self.told(end).into_iter().filter(is_turn).collect();
        self.ends[end].events.clear();
        turns
    }
}

/// Four in a room who speak and hear everybody; the first three have direct links with each other.
fn four() -> Stage {
    let mut stage = Stage::new(5, CALM, HubConfig::default());
    for who in 0..4 {
        let end = stage.enter(who, "room", Entrance::default());
        stage.ready(end);
        stage.want(end, Hearing::default());
        stage.talk(end);
    }
    stage.run(MOMENT);
    for pair in [(0, 1), (0, 2), (1, 2)] {
        stage.neighbours(pair, true);
    }
    (0..4).for_each(|end| stage.ends[end].events.clear());
    stage
}

#[test]
fn members_are_to_have_direct_links_until_they_leave() {
    let mut stage = four();
    let ids: BTreeSet<_> = (0..4).map(|end| stage.id(end)).collect();
    for end in 0..4 {
        let others: BTreeSet<_> = ids.iter().copied().filter(|it| *it != stage.id(end)).collect();
        assert_eq!(stage.ends[end].known, others);
    }
    let gone = stage.id(3);
    stage.leave(3);
    stage.run(MOMENT);
    assert!(stage.ends[3].known.is_empty());
    assert!((0..3).all(|end| !stage.ends[end].known.contains(&gone)));
    // Whom only the relay has lost keeps them for a while.
    let lost = stage.id(2);
    stage.lose(&[2]);
    stage.run(Duration::from_secs(20));
    assert!((0..2).all(|end| stage.ends[end].known.contains(&lost)));
    stage.run(stage.alone);
    assert!((0..2).all(|end| !stage.ends[end].known.contains(&lost)));
    assert!(stage.ends[2].known.is_empty());
}

#[test]
fn nobody_hears_another_directly_while_there_is_a_relay() {
    let stage = four();
    for end in 0..4 {
        assert!((0..4).all(|of| !stage.hears(end, of)));
    }
}

#[test]
fn without_a_relay_those_who_are_near_hear_each_other_and_nobody_else_does() {
    let mut stage = four();
    let far = stream(&stage, 0, 3).unwrap();
    stage.lose(&[0, 1, 2, 3]);
    for end in 0..4 {
        for of in 0..4 {
            let near = end != of && end < 3 && of < 3;
            assert_eq!(stage.hears(end, of), near, "{end} {of}");
            // Its own stream is open while anybody may hear it.
            let open = near || (end == of && end < 3);
            assert_eq!(stream(&stage, end, of).is_some(), open, "{end} {of}");
            assert_eq!(stage.at(of).live_stream(0).is_some(), of < 3);
        }
    }
    let closed = VoiceEvent::Closed { name: far.name, peer: far.peer, why: None };
    assert_eq!(stage.turns(0), [closed]);
    // No topic is the relay's.
    let direct = |of: usize| {
        let epoch = stage.at(of).stream_epoch(0).unwrap();
        Topic::direct(stage.id(of), 0, epoch)
    };
    let topics: BTreeSet<Topic> = stage.ends[0].shares.keys().copied().collect();
    assert_eq!(topics, [0, 1, 2].map(direct).into());
    // It does not give up meanwhile.
    stage.run(Duration::from_secs(80));
    assert!(matches!(stage.at(0).state(), State::Reconnecting { .. }));
    assert!(stage.hears(0, 1));
}

#[test]
fn who_goes_away_is_closed_to_those_whom_it_was_near() {
    let mut stage = four();
    let [one, two] = [1, 2].map(|of| stream(&stage, 0, of).unwrap());
    stage.lose(&[0, 1, 2, 3]);
    stage.turns(0);
    stage.neighbours((0, 1), false);
    let closed =
        |stream: Stream| VoiceEvent::Closed { name: stream.name, peer: stream.peer, why: None };
    assert_eq!(stage.turns(0), [closed(one)]);
    assert!(!stage.hears(0, 1) && stage.hears(0, 2));
    // It may come back, but not what it said.
    stage.neighbours((0, 1), true);
    assert!(stream(&stage, 0, 1).is_none());
    // Who leaves has no direct links any more.
    stage.leave(2);
    assert!(stage.ends[2].known.is_empty() && stage.ends[2].shares.is_empty());
    stage.neighbours((0, 2), false);
    assert_eq!(stage.turns(0), [closed(two)]);
}

#[test]
fn it_goes_on_for_so_long_and_no_longer() {
    let mut stage = four();
    stage.lose(&[0, 1, 2, 3]);
    let alone = stage.alone;
    stage.turns(0);
    stage.run(alone - 2 * MOMENT);
    assert!(stage.hears(0, 1) && stage.turns(0).is_empty());
    stage.run(3 * MOMENT);
    for end in 0..3 {
        assert_eq!(stage.at(end).streams().count(), 0);
        assert!(stage.ends[end].shares.is_empty() && stage.ends[end].known.is_empty());
    }
    assert_eq!(stage.turns(0).len(), 2);
    // Then it gives up as ever.
    stage.run(Duration::from_secs(60));
    assert!(matches!(stage.at(0).state(), State::Closed(_)));
}

#[test]
fn what_reopens_goes_over_without_a_word_and_what_does_not_is_closed() {
    let mut stage = four();
    stage.lose(&[0, 1, 2, 3]);
    stage.turns(0);
    // The first is back before the others, and hears them directly until they are.
    stage.find(0);
    stage.run(MOMENT);
    assert!(stage.hears(0, 1) && stage.hears(1, 0), "{:?}", stage.ends[0].shares);
    let before = stream(&stage, 0, 1).unwrap();
    stage.find(1);
    stage.run(MOMENT);
    assert!(!stage.hears(0, 1) && !stage.hears(1, 0));
    let after = stream(&stage, 0, 1).unwrap();
    assert_ne!(before.topic, after.topic);
    assert_eq!(before.epoch, after.epoch);
    let turns = stage.turns(0);
    if before.name == after.name {
        assert_eq!(turns, []);
    } else {
        let Stream { name, peer, .. } = before;
        assert_eq!(
            turns,
            [VoiceEvent::Closed { name, peer, why: None }, VoiceEvent::Opened(after)]
        );
    }
    // Who does not come back is heard for as long as it is near.
    let late = stream(&stage, 0, 2).unwrap();
    stage.run(stage.handover);
    assert_eq!(stage.turns(0), []);
    assert!(stage.hears(0, 2));
    stage.neighbours((0, 2), false);
    let closed = VoiceEvent::Closed { name: late.name, peer: late.peer, why: None };
    assert_eq!(stage.turns(0), [closed]);
    assert!(!stage.hears(0, 2));
    // Its own streams are there once each.
    assert!(stream(&stage, 0, 0).is_some() && stream(&stage, 1, 1).is_some());
}

#[test]
fn what_reopens_under_its_name_is_the_same_stream() {
    let mut stage = four();
    stage.mute(2, true);
    stage.lose(&[0, 1, 2, 3]);
    let before = [1, 2].map(|of| stream(&stage, 0, of).unwrap());
    stage.mute(2, false);
    stage.ends[0].events.clear();
    stage.restart(HubConfig::default(), 2);
    // In the order in which they came, so that all have their numbers again.
    for end in 0..4 {
        stage.find(end);
    }
    stage.run(stage.handover + MOMENT);
    let after = [1, 2].map(|of| stream(&stage, 0, of).unwrap());
    for (before, after) in before.iter().zip(after) {
        assert_eq!((before.name, before.epoch), (after.name, after.epoch));
        assert!(!after.muted && !stage.hears(0, 1) && !stage.hears(0, 2));
    }
    // Of the mute alone it is told, and of who was not near.
    let muted = VoiceEvent::Muted { name: after[1].name, muted: false };
    let far = VoiceEvent::Opened(stream(&stage, 0, 3).unwrap());
    let told: Vec<_> = stage.told(0).into_iter().filter(|it| !is_live(it)).collect();
    assert_eq!(told, [muted, far]);
}

#[test]
fn a_relay_that_forgot_everybody_may_give_anothers_number_to_a_stream() {
    let mut stage = four();
    stage.lose(&[0, 1, 2, 3]);
    stage.turns(0);
    let me = stage.id(0);
    let others = |stage: &Stage| -> BTreeSet<StreamName> {
        stage.at(0).streams().filter(|it| it.peer != me).map(|it| it.name).collect()
    };
    let mut open = others(&stage);
    assert_eq!(open.len(), 2);
    stage.restart(HubConfig::default(), 2);
    // In another order than before.
    for end in [2, 0, 3, 1] {
        stage.find(end);
    }
    stage.run(stage.handover + MOMENT);
    for (end, of) in (0..4).flat_map(|end| (0..4).map(move |of| (end, of))) {
        let client = stage.at(of).client().unwrap();
        assert_eq!(stream(&stage, end, of).unwrap().name.client, client, "{end} {of}");
        assert!(!stage.hears(end, of));
    }
    // What an application was told adds up to what there is.
    for turn in stage.turns(0) {
        match turn {
            VoiceEvent::Opened(stream) => assert!(open.insert(stream.name), "{stream:?}"),
            VoiceEvent::Closed { name, .. } => assert!(open.remove(&name), "{name:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(open, others(&stage));
}

#[test]
fn mutes_hold_without_a_relay() {
    let mut stage = four();
    let [me, silent] = [0, 1].map(|end| stage.id(end));
    // The first opened the room, and moderates it.
    let answer = stage.request(0, &Request::Silence { peer: silent, silenced: true });
    assert!(answer.is_ok(), "{answer:?}");
    stage.run(MOMENT);
    stage.lose(&[0, 1, 2, 3]);
    assert!(!stage.hears(0, 1) && !stage.hears(2, 1), "nobody may");
    let asks = |end: usize| stage.ends[end].shares.values().any(|it| it.peer == silent);
    assert!(!asks(0) && !asks(2), "nor asks for it");
    assert!(stage.ends[1].shares.values().all(|it| it.peer != silent || it.share == Share::Hold));
    assert!(stage.hears(1, 0));
    // Who is silenced by one is so for that one alone.
    stage.want(1, Hearing { but: BTreeSet::from([me]), ..Hearing::default() });
    assert!(!stage.hears(1, 0) && stage.hears(2, 0));
    stage.want(1, Hearing { deaf: true, ..Hearing::default() });
    assert!(!stage.hears(1, 0) && !stage.hears(1, 2));
    stage.want(1, Hearing::default());
    assert!(stage.hears(1, 0) && stage.hears(1, 2));
    // Who is muted says nothing, and is asked for all the same.
    for muted in [true, false] {
        stage.mute(0, muted);
        assert_eq!(stage.hears(1, 0), !muted);
        assert_eq!(stage.at(0).live_stream(0).map(|stream| stream.muted), Some(muted));
        let asks = |it: &Shared| it.share == Share::Hear && it.peer == me;
        assert!(stage.ends[1].shares.values().any(asks));
    }
    // What is closed is over, and what is opened waits.
    let now = stage.now;
    stage.at_mut(0).close_stream(0, now);
    stage.settle(0);
    assert!(!stage.hears(1, 0) && stage.at(0).live_stream(0).is_none());
    stage.talk(0);
    assert!(stage.at(0).live_stream(0).is_none());
    // It stays so when the relay is back.
    for end in 0..4 {
        stage.find(end);
    }
    assert!(stage.at(0).live_stream(0).is_some());
    assert!((0..4).all(|end| stage.at(end).is_silenced(silent)));
}

#[test]
fn who_was_never_a_member_is_no_neighbour() {
    let mut stage = four();
    let stranger = stage.hub_peer();
    stage.feed_end(0, Input::Neighbour { peer: stranger, near: true });
    // Nor is a member without a direct link, whatever others have.
    stage.lose(&[3]);
    assert_eq!(stage.at(3).streams().count(), 0);
    assert!(stage.ends[3].shares.is_empty());
}

#[test]
fn who_alone_loses_the_relay_hears_and_is_heard_by_those_who_are_near() {
    let mut stage = four();
    let before = stream(&stage, 1, 0).unwrap();
    let far = stream(&stage, 3, 0).unwrap();
    stage.lose(&[0]);
    for near in [1, 2] {
        assert!(stage.hears(0, near) && stage.hears(near, 0), "{near}");
        assert!(!stage.hears(near, 3 - near), "they have a relay");
        assert_eq!(stage.turns(near), [], "it goes on");
    }
    let Stream { name, peer, .. } = far;
    let closed = |why| VoiceEvent::Closed { name, peer, why };
    assert_eq!(stage.turns(3), [closed(Some(StreamEnd::Left))]);
    // Whom one does not want to hear it does not.
    let me = stage.id(0);
    stage.want(1, Hearing { but: BTreeSet::from([me]), ..Hearing::default() });
    assert!(!stage.hears(1, 0) && stage.hears(2, 0));
    stage.want(1, Hearing::default());
    assert!(stage.hears(1, 0));
    // When it is back it is the relay's to pass it on.
    stage.find(0);
    let after = stream(&stage, 1, 0).unwrap();
    let opened = VoiceEvent::Opened(after);
    assert_eq!(stage.turns(1), [closed(None), opened]);
    assert_eq!((before.epoch, stage.hears(1, 0)), (after.epoch, false));
    stage.run(stage.handover + MOMENT);
    assert_eq!(stage.turns(1), []);
    assert_eq!(stage.ends[1].shares.len(), 1, "its own, for whom the relay loses");
}

#[test]
fn whom_the_relay_has_lost_is_heard_for_as_long_as_it_is_near_and_no_longer() {
    let mut stage = four();
    let name = stream(&stage, 1, 0).unwrap().name;
    let peer = stage.id(0);
    let closed = VoiceEvent::Closed { name, peer, why: None };
    stage.lose(&[0]);
    stage.neighbours((0, 1), false);
    assert_eq!(stage.turns(1), slice::from_ref(&closed));
    assert!(stage.hears(2, 0));
    stage.run(stage.alone);
    assert_eq!(stage.turns(2), slice::from_ref(&closed));
    assert!((1..3).all(|end| !stage.hears(end, 0)));
    // Who loses the relay later, and finds it first, goes on hearing it.
    let mut stage = four();
    stage.lose(&[0]);
    stage.lose(&[1]);
    stage.find(1);
    stage.turns(1);
    stage.run(stage.handover + MOMENT);
    assert!(stage.hears(1, 0) && stage.hears(0, 1));
    assert_eq!(stage.turns(1), []);
    // What it does not open there again is over soon after it is back.
    let now = stage.now;
    stage.at_mut(0).close_stream(0, now);
    stage.find(0);
    stage.run(stage.handover + MOMENT);
    assert_eq!(stage.turns(1), [closed]);
    // Whom it loses again goes on again, for as long as before.
    let mut stage = four();
    stage.lose(&[0]);
    stage.find(0);
    stage.lose(&[0]);
    stage.turns(1);
    stage.run(stage.handover + MOMENT);
    assert!(stage.hears(1, 0));
    assert_eq!(stage.turns(1), []);
    // Who is put out is not heard, near or not.
    let mut stage = four();
    stage.run(MOMENT);
    let gone = stage.id(1);
    stage.done(0, &Request::Kick { peer: gone, ban: Duration::from_secs(60) });
    stage.run(MOMENT);
    assert!(!stage.hears(0, 1) && !stage.hears(2, 1));
    assert_eq!(stream(&stage, 2, 1), None);
}
