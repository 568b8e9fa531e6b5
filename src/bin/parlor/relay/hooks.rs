//! The application's own server.

use std::time::Duration;

use parlor::net::{
    Authoriser, Clock, Courier, Deliveries, HookedHub, Target, WebhookConfig, load_webhook_secret,
};
use parlor::proto::hub::Hub;
use parlor::proto::id::AppId;
use tokio::task::JoinSet;

use crate::arguments::hooks::HookArguments;
use crate::failure::Failure;

/// How long a relay that ends goes on telling what happened.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What goes out while the relay runs.
#[derive(Debug, Default)]
pub(super) struct Couriers(JoinSet<()>);

impl Couriers {
    /// Waits until what is left was told, once the hub is gone.
    pub(super) async fn finish(self) {
        tokio::time::timeout(LAST_WORDS, self.0.join_all()).await.ok();
    }

    fn run(&mut self, courier: Courier) {
        self.0.spawn(courier.run());
    }
}

/// The hub, with the servers of its applications.
pub(super) fn hook(
    hub: Hub,
    apps: &[AppId],
    arguments: &HookArguments,
) -> Result<(HookedHub, Couriers), Failure> {
    let (mut hub, mut couriers) = (HookedHub::new(hub), Couriers::default());
    let Some(path) = &arguments.webhook_secret_file else { return Ok((hub, couriers)) };
    let secret = load_webhook_secret(path).map_err(Failure::failed)?;
    let inside = arguments.webhook_inside;
    let config =
        WebhookConfig { allow_plain: inside, allow_private: inside, ..WebhookConfig::default() };
    let target = |url: &Option<String>| {
        let target = url.as_deref().map(|url| Target::new(url, secret.clone(), &config));
        target.transpose().map_err(Failure::usage)
    };
    let (asked, told) = (target(&arguments.webhook_join)?, target(&arguments.webhook_events)?);
    for app in apps {
        if let Some(target) = &asked {
            hub.ask(*app, Authoriser::new(target.clone(), config.clone(), Clock::new()));
        }
        if let Some(target) = &told {
            let (deliveries, courier) =
                Deliveries::new(target.clone(), config.clone(), Clock::new());
            hub.tell(*app, deliveries);
            couriers.run(courier);
        }
    }
    Ok((hub, couriers))
}
