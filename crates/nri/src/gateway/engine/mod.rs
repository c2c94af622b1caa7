//! Towards the engine: one plugin that subscribes to all the engine knows and relays it to the plugins behind.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `session` | one connection, from the registration to its end |
//! | `relay` | one request of the engine: through the host and back |
//! | `owners` | its own validation: whether others had a hand in a container |
//! | `known` | what an engine can do, crashes on, drops |
//! | `updates` | what plugins ask for on their own account |

mod known;
mod owners;
mod relay;
mod session;
mod updates;

use std::sync::Arc;

use tracing::{info, warn};

pub(crate) use self::known::{Engine, Lost};
use self::session::Stage;
pub(crate) use self::updates::Updates;
use super::Gateway;
use super::limits::{RECONNECT_FIRST, RECONNECT_MAX};

/// Connects to the engine again and again, with back-off. Never ends.
pub(crate) async fn attend(gateway: Arc<Gateway>) {
    let mut pause = RECONNECT_FIRST;
    let mut attempt = 0;
    let mut said = String::new();
    loop {
        let end = session::run(&gateway, attempt).await;
        gateway.disconnected();
        let engine = gateway.settings.engine_socket.display();
        match end.stage {
            Stage::Synchronized => {
                warn!(%engine, "the engine is gone: {}; plugins stay connected", end.why);
                (pause, attempt) = (RECONNECT_FIRST, 0);
                said.clear();
            }
            Stage::Configured => {
                attempt += 1;
                warn!(%engine, "{}; trying again with fewer events", end.why);
            }
            // The same reason is said once.
            Stage::Unknown if end.why != said => {
                warn!(%engine, "cannot register at the engine: {}; trying again", end.why);
                said = end.why;
            }
            Stage::Unknown => info!(%engine, "still: {said}"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_MAX);
    }
}
