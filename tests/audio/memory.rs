//! What is played allocates nothing: a loudspeaker's thread must not wait for memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use allocation_counter::measure;
use parlor::audio::BLOCK;
use parlor::audio::codec::{Codec, CodecError, Decoder, EncoderSettings};
use parlor::audio::opus::Opus;
use parlor::audio::playout::Playout;
use parlor::audio::playout::config::PlayoutConfig;
use parlor::proto::time::Time;

use crate::stage::{speak, talk};
use crate::traces::{Losses, Network};

/// A decoder, and how often it allocated to make something up.
struct Counted {
    decoder: Box<dyn Decoder>,
    making_up: Arc<AtomicU64>,
}

impl Decoder for Counted {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.decoder.decode(frame, out)
    }

    fn recover(&mut self, next: &[u8], out: &mut [f32]) -> Result<usize, CodecError> {
        self.decoder.recover(next, out)
    }

    fn conceal(&mut self, out: &mut [f32]) -> Result<usize, CodecError> {
        let mut samples = Ok(0);
        let made = measure(|| samples = self.decoder.conceal(out));
        self.making_up.fetch_add(made.count_total, Ordering::Relaxed);
        samples
    }

    fn reset(&mut self) {
        self.decoder.reset();
    }
}

#[test]
fn what_is_played_allocates_nothing() {
    let settings = EncoderSettings { loss: 10, ..EncoderSettings::default() };
    let sent = speak(&talk(24), &settings, false);
    let mut network = Network::datagrams(1, Losses::Bursts(17));
    let making_up = Arc::new(AtomicU64::new(0));
    let decoder = Counted { decoder: Opus.decoder().unwrap(), making_up: making_up.clone() };
    // As long a start as may be: once it does not hold any more, voice is shortened.
    let config = PlayoutConfig { start: Duration::from_millis(400), ..PlayoutConfig::default() };
    let mut playout = Playout::new(config, Box::new(decoder));
    let arrivals = sent.into_iter().filter_map(|(at, packet)| Some((network.arrival(at)?, packet)));
    let mut arrivals = arrivals.peekable();
    let mut allocated = 0;
    for block in 0..2_500 {
        let now = 1_000_000 + block * 10_000;
        while let Some((at, packet)) = arrivals.next_if(|(at, _)| *at <= now) {
            let made = measure(|| playout.on_packet(Time::from_micros(at), packet));
            assert_eq!(made.count_total, 0, "a packet at {at}");
        }
        let mut out = [0.0; BLOCK];
        let made = measure(|| {
            playout.pull(Time::from_micros(now), &mut out);
        });
        let made = made.count_total - making_up.swap(0, Ordering::Relaxed);
        // The rest of a decoder's memory is made as it is first needed.
        if block >= 800 {
            allocated += made;
        }
    }
    let counts = playout.statistics();
    assert!(counts.recovered > 0 && counts.concealed > 0 && counts.stretches > 0, "{counts:?}");
    assert_eq!(allocated, 0);
}
