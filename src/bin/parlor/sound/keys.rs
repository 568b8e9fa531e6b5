//! Keys that are typed while sound goes on.

use std::future;
use std::io::{self, IsTerminal};

use tokio::io::{AsyncReadExt, Stdin};

/// What a key asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    /// `m`: be silent, or not any more.
    Mute,
    /// `q`, or the end of the input: end.
    Quit,
}

/// The keys of a terminal, as they are typed: it neither waits for the end of a line nor shows them, until
/// this is dropped. (Where that is only known how to do elsewhere, a key waits for Enter.)
pub(crate) struct Keys {
    input: Option<Stdin>,
    #[cfg(unix)]
    _typing: Option<typing::Typing>,
}

impl Keys {
    /// Reads keys if standard input is a terminal, or `anyway`.
    pub(crate) fn open(anyway: bool) -> Self {
        let typed = io::stdin().is_terminal();
        Self {
            input: (typed || anyway).then(tokio::io::stdin),
            #[cfg(unix)]
            _typing: typed.then(typing::Typing::begin).flatten(),
        }
    }

    /// No keys: standard input is for something else.
    pub(crate) const fn none() -> Self {
        Self {
            input: None,
            #[cfg(unix)]
            _typing: None,
        }
    }

    /// The next that asks for something; never, if there is none. Can be cancelled.
    pub(crate) async fn next(&mut self) -> Key {
        let Some(input) = &mut self.input else {
            return future::pending().await;
        };
        let mut key = [0];
        loop {
            match input.read(&mut key).await {
                Ok(1..) => match key[0] {
                    b'm' | b'M' => return Key::Mute,
                    b'q' | b'Q' => return Key::Quit,
                    _ => {}
                },
                Ok(0) | Err(_) => {
                    self.input = None;
                    return Key::Quit;
                }
            }
        }
    }
}

#[cfg(unix)]
mod typing {
    use std::io;

    use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

    /// A terminal that hands on each key. Ctrl-C stays what it is.
    pub(super) struct Typing(Termios);

    impl Typing {
        /// Nothing, if the terminal does not do that.
        pub(super) fn begin() -> Option<Self> {
            let before = tcgetattr(io::stdin()).ok()?;
            let mut typing = before.clone();
            typing.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            tcsetattr(io::stdin(), SetArg::TCSANOW, &typing).ok()?;
            Some(Self(before))
        }
    }

    impl Drop for Typing {
        fn drop(&mut self) {
            // Whoever cannot put it back cannot do more.
            tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0).ok();
        }
    }
}
