//! What a listener costs on the wire.

use tokio::time::{interval, sleep};

use parlor::proto::audio::stream::Tune;

use super::counting::counted;
use super::voice::{FRAME, Relaying, gossip_only, packet, pop_all, topic};
use super::*;

/// What one listener costs in kilobits a second, with the 28 bytes of IP and UDP of every packet, for
/// speakers who begin their frames together: down, up, and packets down for each frame.
async fn cost(way: (&str, NetConfig), speakers: u8) -> (f64, f64, f64) {
    const FRAMES: u32 = 150;
    let relay = Relaying::start(way).await;
    let mut tasks = JoinSet::new();
    let (by_here, counts) = counted(&relay.addresses[0], &mut tasks).await;
    let mut ben = relay.guest_by(2, &by_here).await;
    let mut ears = Vec::new();
    let mut desks = Vec::new();
    for at in 0..speakers {
        let mut speaker = relay.guest(3 + at).await;
        speaker.tune(topic(at.into()), Tune::Speak);
        ben.tune(topic(at.into()), Tune::Hear);
        ears.push(ben.listen(topic(at.into())));
        desks.push((speaker.desk.clone(), speaker));
    }
    let say = |number: u32| {
        for (at, (desk, _)) in desks.iter().enumerate() {
            assert!(desk.speak(topic(at as u16), packet(7, number)));
        }
    };
    // What comes once in a link's life is over by then.
    let mut frames = interval(FRAME);
    for number in 0..200 {
        frames.tick().await;
        say(number);
    }
    sleep(FRAME).await;
    frames.reset();
    ears.iter_mut().for_each(|ear| drop(pop_all(ear)));
    let before = counts.read();
    for number in 0..FRAMES {
        frames.tick().await;
        say(1_000 + number);
    }
    sleep(FRAME).await;
    let [up, ups, down, downs] = counts.since(before);
    let heard: usize = ears.iter_mut().map(|ear| pop_all(ear).len()).sum();
    let expected = FRAMES as usize * usize::from(speakers);
    assert!(heard * 10 >= expected * 9, "{heard} of {expected}");
    let seconds = f64::from(FRAMES) * FRAME.as_secs_f64();
    let kilobits =
        |bytes: u64, packets: u64| (bytes + 28 * packets) as f64 * 8.0 / 1_000.0 / seconds;
    (kilobits(down, downs), kilobits(up, ups), downs as f64 / f64::from(FRAMES))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_costs_little_and_speakers_share_datagrams() {
    let (down, up, packets) = cost((QUIC, NetConfig::default()), 1).await;
    print(&format!("datagrams, 1 speaker: {down:.1} down, {up:.1} up, {packets:.2} a frame"));
    assert!(down <= 60.0, "{down} kb/s");
    let (down, up, packets) = cost((QUIC, NetConfig::default()), 3).await;
    print(&format!("datagrams, 3 speakers: {down:.1} down, {up:.1} up, {packets:.2} a frame"));
    assert!(packets <= 1.8, "{packets} packets for each frame of three");
    assert!(down <= 3.0 * 50.0, "{down} kb/s");
    let (down, up, packets) = cost(gossip_only(), 1).await;
    print(&format!("gossip, 1 speaker: {down:.1} down, {up:.1} up, {packets:.2} a frame"));
    assert!(down <= 80.0, "{down} kb/s");
    let (down, up, packets) = cost(gossip_only(), 3).await;
    print(&format!("gossip, 3 speakers: {down:.1} down, {up:.1} up, {packets:.2} a frame"));
    assert!(down <= 3.0 * 80.0, "{down} kb/s");
}

#[expect(clippy::print_stdout, reason = "what was measured is for who runs it")]
pub(super) fn print(line: &str) {
    println!("{line}");
}
