//! Server-sent events, read from the bytes of an answer.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    /// Its name; empty for plain changes.
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Most bytes of one event; what is larger is no answer of the API.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// Puts events together from chunks.
#[derive(Debug, Default)]
pub(crate) struct Events {
    buffer: Vec<u8>,
    event: Event,
}

impl Events {
    /// Takes a chunk; the answer is the events it completes, or nothing when one is too large.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Option<Vec<Event>> {
        self.buffer.extend_from_slice(chunk);
        let mut done = Vec::new();
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if event != Event::default() {
                    done.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.event.name),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                _ => {}
            }
        }
        (self.buffer.len() + self.event.data.len() <= EVENT_BYTES_MAX).then_some(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_put_together_from_any_chunks() {
        let text =
            "id: 4\ndata: {\"a\":1}\n\n: ping\n\nevent: bookmark\r\ndata: x\r\ndata: y\r\n\r\n";
        for size in [1, 3, text.len()] {
            let mut events = Events::default();
            let chunks = text.as_bytes().chunks(size);
            let found: Vec<Event> = chunks.flat_map(|c| events.push(c).unwrap()).collect();
            let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
            assert_eq!(found, [event("", "{\"a\":1}"), event("bookmark", "x\ny")], "{size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::default();
        assert!(events.push(&vec![b'x'; EVENT_BYTES_MAX + 1]).is_none());
    }
}
