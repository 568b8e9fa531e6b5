//! What is cut off in the middle of a word, and goes on later: whose speaker is silenced, or has no link.

use parlor::audio::codec::EncoderSettings;
use parlor::audio::playout::Sound;
use parlor::audio::playout::config::PlayoutConfig;

use crate::stage::{BLOCK_TIME, START, listen, speak, talk};
use crate::traces::{Losses, Network};

#[test]
fn nothing_of_an_interruption_is_lost_or_made_up_for_long() {
    let sent = speak(&talk(12), &EncoderSettings { loss: 10, ..EncoderSettings::default() }, false);
    let whole = |seed| Network::datagrams(seed, Losses::Alone(0));
    for (seed, length) in
        (0..10).zip([500_000, 1_000_000, 3_000_000, 6_000_000].into_iter().cycle())
    {
        let (from, to) = (START + 3_000_000, START + 3_000_000 + length);
        let cut: Vec<_> = sent.iter().filter(|(at, _)| !(from..to).contains(at)).cloned().collect();
        let config = PlayoutConfig::default();
        let heard = listen(&cut, &mut whole(seed), config.clone(), (seed * 1_000, 0));
        let calm = listen(&sent, &mut whole(seed), config, (seed * 1_000, 0));
        let (heard_of, calm_of) = (heard.statistics, calm.statistics);
        let lost = heard_of.lost - calm_of.lost.min(heard_of.lost);
        assert!(lost <= 5, "{seed}: {lost} frames of {length} us");
        let made_up = heard_of.concealed.saturating_sub(calm_of.concealed) / 48;
        assert!(made_up <= 500, "{seed}: {made_up} ms of {length} us");
        // What comes then waits as long as what begins, and is not made up in pieces.
        let back = ((to - START) / BLOCK_TIME) as usize;
        let after =
            |of: &[Sound]| of[back..].iter().filter(|sound| **sound == Sound::Concealed).count();
        let (cut, calm) = (after(&heard.sounds), after(&calm.sounds));
        assert!(cut <= calm + 12, "{seed}: {cut} and {calm} blocks");
    }
}
