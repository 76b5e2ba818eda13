//! What foreign code says: warnings and errors go to standard error, where the parent reads them.

use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The last errors, for when loading fails; bounded.
static LAST: Mutex<Vec<String>> = Mutex::new(Vec::new());
const LAST_MAX: usize = 4;

/// Begins to listen.
pub(super) fn listen() {
    // Nobody else does in this process.
    let _ = tracing::subscriber::set_global_default(Lines);
    llama_cpp_2::send_logs_to_tracing(llama_cpp_2::LogOptions::default());
}

/// The last error, with what led to it.
pub(super) fn last_words() -> Option<String> {
    let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    (!last.is_empty()).then(|| last.join("; "))
}

struct Lines;

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let text = line.0.trim();
        let level = *event.metadata().level();
        if level == Level::ERROR {
            let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == LAST_MAX {
                last.remove(0);
            }
            last.push(text.to_owned());
        }
        // A parent that does not listen has ended.
        let _ = writeln!(std::io::stderr(), "{level} {}", text.replace('\n', " "));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0.push_str(value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a string cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
