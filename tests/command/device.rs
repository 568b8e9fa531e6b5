//! Microphones and loudspeakers. Those of the computer are left alone: what is captured and played here
//! is a sound server's of the test's own (`PulseAudio`), whose devices are not there. Where that is not
//! installed, it is said, and nothing is tested.

#[cfg(not(feature = "device"))]
#[test]
fn a_command_without_devices_says_how_one_with_them_is_built() {
    use crate::process::{run, text};

    let room = ["--relay", "/ip4/127.0.0.1/udp/1/quic-v1"];
    for arguments in [&["devices"][..], &["talk", "room", "--device"]] {
        let arguments =
            if arguments.len() > 1 { [arguments, &room].concat() } else { arguments.to_vec() };
        let output = run(&arguments, "");
        let words = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(words.contains("--features cli,device"), "{words}");
    }
}

#[cfg(all(feature = "device", target_os = "linux"))]
mod built {
    use std::fs::{self, File};
    use std::io::{BufRead, BufReader};
    use std::path::PathBuf;
    use std::process::{Child, Command, Stdio};
    use std::thread::sleep;
    use std::time::Duration;

    use serde_json::Value as Json;
    use tempfile::TempDir;

    use crate::process::{Process, Relay, parlor, text};
    use crate::voice::{likeness, voice};

    const RATE: u32 = 48_000;

    /// A sound server that ends with the test.
    struct Server {
        child: Child,
        folder: TempDir,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            // It may have ended already.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }

    /// Whether a program can be run at all.
    fn runs(program: &str) -> bool {
        let quiet = || Command::new(program).arg("--version").stdout(Stdio::null()).status();
        quiet().is_ok_and(|status| status.success())
    }

    /// Whether ALSA has a device that is a sound server's.
    fn has_plugin() -> bool {
        let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
        let mut folders = vec![PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")];
        folders.extend(below(PathBuf::from("/usr/lib")).map(|entry| entry.path()));
        let plugin = "alsa-lib/libasound_module_pcm_pulse.so";
        folders.iter().any(|folder| folder.join(plugin).exists())
    }

    impl Server {
        /// One with two loudspeakers that are not there, `mouth` and `ear`; nothing, and a word about
        /// that, where there is none.
        fn start() -> Option<Self> {
            if !["pulseaudio", "pacat", "parec", "pactl"].into_iter().all(runs) {
                println!("not tested: there is no PulseAudio (pulseaudio, pulseaudio-utils)");
                return None;
            }
            if !has_plugin() {
                println!("not tested: ALSA has no plugin for PulseAudio (libasound2-plugins)");
                return None;
            }
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name).display().to_string();
            let socket = at("socket");
            let devices = [("mouth", "mouth.monitor"), ("ear", "ear")].map(|(name, device)| {
                format!(
                    "pcm.{name} {{ type pulse server \"unix:{socket}\" device \"{device}\" \
                     hint {{ show on description \"the {name} of a test\" }} }}\n"
                )
            });
            let config = ["</usr/share/alsa/alsa.conf>\n"].into_iter();
            let config: String = config.chain(devices.iter().map(String::as_str)).collect();
            fs::write(at("alsa.conf"), config).unwrap();
            let modules = [
                format!("module-native-protocol-unix socket={socket} auth-anonymous=1"),
                "module-null-sink sink_name=mouth rate=48000 channels=1".to_owned(),
                "module-null-sink sink_name=ear rate=48000 channels=2".to_owned(),
            ];
            let child = Command::new("pulseaudio")
                .args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"])
                .arg("--log-level=error")
                .args(modules.iter().flat_map(|module| ["-L", module.as_str()]))
                .env("HOME", folder.path())
                .env("XDG_RUNTIME_DIR", folder.path())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let server = Self { child, folder };
            server.is_up().then_some(server)
        }

        #[expect(clippy::disallowed_methods, reason = "it does not say when it is there")]
        fn is_up(&self) -> bool {
            for _ in 0..100 {
                let info = self.tool("pactl").arg("info").output().unwrap();
                if info.status.success() {
                    return true;
                }
                sleep(Duration::from_millis(50));
            }
            println!("not tested: PulseAudio does not run here");
            false
        }

        fn file(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// One of the server's own tools.
        fn tool(&self, name: &str) -> Command {
            let mut command = Command::new(name);
            command.env("PULSE_SERVER", format!("unix:{}", self.file("socket").display()));
            command.env("HOME", self.folder.path());
            command
        }

        fn parlor(&self, arguments: &[&str]) -> Command {
            let mut command = parlor(arguments);
            command.env("ALSA_CONFIG_PATH", self.file("alsa.conf"));
            command
        }
    }

    /// What a loudspeaker that is not there played.
    struct Recorder {
        child: Child,
        file: PathBuf,
    }

    impl Recorder {
        fn start(server: &Server) -> Self {
            let file = server.file("heard.raw");
            let child = server
                .tool("parec")
                .args(["--device=ear.monitor", "--format=s16le", "--rate=48000", "--channels=1"])
                .args(["--latency-msec=20", "--raw"])
                .stdout(File::create(&file).unwrap())
                .spawn()
                .unwrap();
            Self { child, file }
        }

        fn end(mut self) -> Vec<f32> {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            let bytes = fs::read(&self.file).unwrap();
            let samples =
                bytes.chunks_exact(2).map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]]));
            samples.map(|sample| f32::from(sample) / 32_768.0).collect()
        }
    }

    /// Plays samples into the microphone, until all are there.
    fn say(server: &Server, said: &[f32]) {
        let file = server.file("said.raw");
        let bytes: Vec<u8> =
            said.iter().flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect();
        fs::write(&file, bytes).unwrap();
        let mut player = server.tool("pacat");
        player
            .args([
                "--playback",
                "--device=mouth",
                "--format=s16le",
                "--rate=48000",
                "--channels=1",
            ])
            .args(["--latency-msec=50", "--raw"])
            .stdin(File::open(file).unwrap());
        assert!(player.status().unwrap().success());
    }

    /// A relay, one that listens and one that talks, by these devices.
    fn call(server: &Server) -> (Relay, Process, Process) {
        let relay = Relay::start();
        let start = |name: &str, device: &str| {
            let more = ["--json", "--until-eof", "--device", device, "--relay", relay.address()];
            Process::of(&mut server.parlor(&[&[name, "room"][..], &more].concat()))
        };
        let listener = start("listen", "ear");
        let listening = listener.until(|line| line["event"] == "listening");
        assert_eq!(listening["device"], "ear");
        let talker = start("talk", "mouth");
        let talking = talker.until(|line| line["event"] == "talking");
        assert_eq!((&talking["device"], &talking["rate"]), (&"mouth".into(), &RATE.into()));
        (relay, listener, talker)
    }

    #[test]
    fn what_a_microphone_captures_is_played_by_a_loudspeaker() {
        let Some(server) = Server::start() else { return };
        let (_relay, mut listener, mut talker) = call(&server);
        let recorder = Recorder::start(&server);
        let said = voice(RATE, 3.0);
        say(&server, &said);
        let ended = |process: &mut Process, event: &str| -> Json {
            process.tell("q");
            process.until(|line| line["event"] == event)
        };
        let talked = ended(&mut talker, "talked");
        assert!(talker.end());
        listener.until(|line| line["event"] == "closed");
        let listened = ended(&mut listener, "listened");
        assert!(listener.end());
        let heard = recorder.end();
        let (share, ratio) = likeness(&said, &heard);
        println!("{share} of it, {ratio} dB; {talked}; {listened}");
        assert!(share > 0.7 && ratio > 0.0, "{share} of it, {ratio} dB; {talked}; {listened}");
    }

    #[test]
    fn who_loses_its_device_is_told() {
        let Some(mut server) = Server::start() else { return };
        let relay = Relay::start();
        let more = ["--device", "ear", "--relay", relay.address()];
        let mut listener = server
            .parlor(&[&["listen", "room"][..], &more].concat())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It listens.
        let mut line = String::new();
        let mut said = BufReader::new(listener.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        assert!(line.contains("by ear"), "{line}");
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        let output = listener.wait_with_output().unwrap();
        let words = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains("loudspeaker") && words.contains("ear"), "{words}");
    }

    #[test]
    fn a_device_that_is_not_there_is_told_with_those_that_are() {
        for arguments in [&["listen", "room"][..], &["talk", "room"]] {
            let relay = Relay::start();
            let more = ["--device", "nothing of the sort", "--relay", relay.address()];
            let output = parlor(&[arguments, &more].concat()).output().unwrap();
            let words = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{words}");
            assert!(words.contains("\"nothing of the sort\": there "), "{words}");
        }
    }
}
