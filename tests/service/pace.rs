//! How much is taken of who speaks: openings, packets and bytes.

use std::time::Duration;

use bytes::Bytes;
use parlor::proto::audio::packet::Packet;
use parlor::proto::config::{HubConfig, ServiceConfig, VoiceConfig};
use parlor::proto::event::voice::VoiceEvent;

use super::stage::{CALM, Stage, Weather};
use super::voices::{MOMENT, packet, speaker};

#[test]
fn who_opens_a_stream_again_and_again_says_no_more_than_who_opens_it_once() {
    let service = ServiceConfig { per_second: 10_000, ..ServiceConfig::default() };
    let near = Weather { loss: 0, delay: Duration::from_millis(1) };
    let voice = VoiceConfig { openings: 1_000, ..VoiceConfig::default() };
    let config = HubConfig { service, voice, ..HubConfig::default() };
    let (mut stage, one, other) = speaker(near, config);
    stage.run(Duration::from_secs(2));
    let began = stage.now;
    for turn in 1..=100 {
        let (now, before) = (stage.now, stage.topic(one));
        stage.at_mut(one).close_stream(0, now);
        stage.at_mut(one).open_stream(false, now).unwrap();
        stage.settle(one);
        let is_anew = |stage: &Stage| stage.topic(one).is_some_and(|it| Some(it) != before);
        stage.until("open", is_anew);
        let (topic, epoch) = (stage.topic(one).unwrap(), stage.at(one).stream_epoch(0).unwrap());
        for sequence in 0..30 {
            stage.publish(one, topic, packet(epoch, sequence));
        }
        while stage.now < began + Duration::from_millis(10) * turn {
            stage.run(Duration::from_millis(1));
        }
    }
    stage.run(MOMENT);
    let passed = stage.ends[other].heard.len();
    assert!((85..=95).contains(&passed), "a burst, and what a second allows: {passed}");
}

#[test]
fn who_opens_streams_too_often_waits_and_has_the_last_of_them() {
    let (mut stage, one, other) = speaker(CALM, HubConfig::default());
    stage.run(Duration::from_secs(60));
    let opened = |stage: &Stage| {
        let told = stage.voices(other);
        told.iter().filter(|told| matches!(told, VoiceEvent::Opened(_))).count()
    };
    let before = opened(&stage);
    for _ in 0..200 {
        let now = stage.now;
        stage.at_mut(one).close_stream(0, now);
        stage.at_mut(one).open_stream(false, now).unwrap();
        stage.run(Duration::from_millis(50));
    }
    // 16 at once, one a second for ten, and what is in a message with them.
    let openings = opened(&stage) - before;
    assert!((20..=40).contains(&openings), "{openings}");
    let (last, since) = (stage.at(one).stream_epoch(0), stage.now);
    let is_open =
        |stage: &Stage| stage.at(other).streams().any(|stream| Some(stream.epoch) == last);
    stage.until("open", is_open);
    assert!(stage.now < since + Duration::from_secs(20));
    assert!(stage.topic(one).is_some());
    let is_last = stage.at(other).streams().map(|stream| Some(stream.epoch)).collect::<Vec<_>>();
    assert_eq!(is_last, [last], "it has the last");
}

#[test]
fn every_bitrate_that_a_codec_may_be_told_passes() {
    let (mut stage, one, other) = speaker(CALM, HubConfig::default());
    let (topic, epoch) = (stage.topic(one).unwrap(), stage.at(one).stream_epoch(0).unwrap());
    // 128 kb/s are 320 bytes a frame, in some more and in some less.
    for sequence in 0..500 {
        let frame = Bytes::from(vec![7; if sequence % 2 == 0 { 250 } else { 390 }]);
        let said = Packet { frame, ..Packet::read(packet(epoch, sequence)).unwrap() };
        stage.publish(one, topic, said.write());
        stage.run(Duration::from_millis(20));
    }
    stage.run(MOMENT);
    assert_eq!(stage.ends[other].heard.len(), 500);
}
