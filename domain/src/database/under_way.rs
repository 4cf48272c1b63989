//! What is under way on a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::{Instrumentation, InstrumentationEvent};

use crate::database::wire::Unanswered;

/// Counts what is under way on a connection. diesel reports each statement from the moment when it is to be sent until
/// its answer begins, and the wire counts the answers that haven't ended.
#[derive(Clone)]
pub(super) struct UnderWay {
    statements: Arc<AtomicUsize>,
    pub(super) unanswered: Unanswered,
}

impl UnderWay {
    pub(super) fn on(unanswered: Unanswered) -> Self {
        Self { statements: Arc::default(), unanswered }
    }

    pub(super) fn has_statements(&self) -> bool {
        self.statements.load(Ordering::Relaxed) > 0
    }
}

impl Instrumentation for UnderWay {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        match event {
            InstrumentationEvent::StartQuery { .. } => {
                self.statements.fetch_add(1, Ordering::Relaxed);
            }
            InstrumentationEvent::FinishQuery { .. } => {
                self.statements.fetch_sub(1, Ordering::Relaxed);
            }
            // The other events are about statements that are reported as well.
            _ => {}
        }
    }
}
