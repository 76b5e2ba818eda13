//! One operation: what the document says of it and how the router treats it.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::shape::{Schemas, Shape, Shaped, collect, refer};

/// A parameter in query or path.
#[derive(Clone)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
}

/// A body that is read or sent.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) media: &'static str,
    pub(crate) schema: Option<Value>,
}

/// An operation under construction.
pub(crate) struct Operation {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) about: &'static str,
    pub(crate) permission: Option<&'static str>,
    pub(crate) public: bool,
    pub(crate) effect: bool,
    pub(crate) if_match: bool,
    pub(crate) bulk: bool,
    pub(crate) watch: bool,
    /// Whether the whole answer can be had again and again.
    pub(crate) live: bool,
    pub(crate) shown_once: Option<&'static str>,
    pub(crate) query: Vec<Parameter>,
    pub(crate) request: Vec<Content>,
    pub(crate) answer: (StatusCode, Vec<Content>),
    /// Another status with the same content.
    pub(crate) also: Option<StatusCode>,
    pub(crate) schemas: Schemas,
}

impl Operation {
    fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            tag: "",
            summary,
            about: "",
            permission: None,
            public: false,
            effect: false,
            if_match: false,
            bulk: false,
            watch: false,
            live: false,
            shown_once: None,
            query: Vec::new(),
            request: Vec::new(),
            answer: (StatusCode::OK, Vec::new()),
            also: None,
            schemas: Schemas::new(),
        }
    }

    pub(crate) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Method::GET, path, id, summary)
    }

    /// Without effects: asks something that needs a body.
    pub(crate) fn ask(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Method::POST, path, id, summary)
    }

    /// With effects: takes an `Idempotency-Key`.
    pub(crate) fn post(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self { effect: true, ..Self::new(Method::POST, path, id, summary) }
    }

    pub(crate) fn put(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self { if_match: true, ..Self::new(Method::PUT, path, id, summary) }
    }

    pub(crate) fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        let new = Self::new(Method::DELETE, path, id, summary);
        Self { if_match: true, answer: (StatusCode::NO_CONTENT, Vec::new()), ..new }
    }

    pub(crate) fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    pub(crate) fn permission(self, permission: &'static str) -> Self {
        Self { permission: Some(permission), ..self }
    }

    /// Anybody may ask.
    pub(crate) fn public(self) -> Self {
        Self { public: true, ..self }
    }

    /// The larger limit for bodies holds.
    pub(crate) fn bulk(self) -> Self {
        Self { bulk: true, ..self }
    }

    /// A member of the answer is not kept for replays.
    pub(crate) fn shown_once(self, member: &'static str) -> Self {
        Self { shown_once: Some(member), ..self }
    }

    pub(crate) fn no_if_match(self) -> Self {
        Self { if_match: false, ..self }
    }

    pub(crate) fn parameter(
        mut self,
        name: &'static str,
        shape: Shape,
        about: &'static str,
    ) -> Self {
        self.query.push(Parameter { name, about, shape, required: false });
        self
    }

    pub(crate) fn needs(mut self, name: &'static str, shape: Shape, about: &'static str) -> Self {
        self.query.push(Parameter { name, about, shape, required: true });
        self
    }

    /// The parameters of a list that comes in pages.
    pub(crate) fn paged(self) -> Self {
        self.parameter("page_size", Shape::COUNT, "Items on the page, at most 500.").parameter(
            "page_token",
            Shape::Text,
            "`next_page_token` of the page before, with the same filters.",
        )
    }

    /// The parameters of a list that can be watched.
    pub(crate) fn watched(self) -> Self {
        let watching = Self { watch: true, ..self };
        watching
            .parameter(
                "watch",
                Shape::Flag,
                "Send changes as server-sent events instead of a page.",
            )
            .parameter(
                "from_revision",
                Shape::COUNT,
                "Changes after this revision; the `revision` of a page.",
            )
    }

    /// The parameter of a list that is sent whole whenever it changes.
    pub(crate) fn live(self) -> Self {
        Self { live: true, ..self }.parameter(
            "watch",
            Shape::Flag,
            "Send the whole list as a server-sent event, and again whenever it is another.",
        )
    }

    pub(crate) fn reads<T: Shaped>(self) -> Self {
        self.reads_shape(&T::SHAPE)
    }

    fn reads_shape(mut self, shape: &Shape) -> Self {
        let schema = Some(self.refer(shape));
        self.request.push(Content { media: "application/json", schema });
        self
    }

    pub(crate) fn reads_media(mut self, media: &'static str) -> Self {
        self.request.push(Content { media, schema: None });
        self
    }

    pub(crate) fn answers<T: Shaped>(self) -> Self {
        self.answers_with::<T>(StatusCode::OK)
    }

    pub(crate) fn answers_with<T: Shaped>(mut self, status: StatusCode) -> Self {
        let schema = self.refer(&T::SHAPE);
        self.answers_schema(status, schema)
    }

    fn answers_schema(mut self, status: StatusCode, schema: Value) -> Self {
        let schema = Some(schema);
        self.answer = (status, vec![Content { media: "application/json", schema }]);
        self
    }

    pub(crate) fn answers_media(mut self, media: &'static str) -> Self {
        self.answer.1.push(Content { media, schema: None });
        self
    }

    /// Some answers have this status instead.
    pub(crate) fn also(self, status: StatusCode) -> Self {
        Self { also: Some(status), ..self }
    }

    /// A page of these.
    pub(crate) fn answers_page<T: Shaped>(self) -> Self {
        self.answers_list(&T::SHAPE, true)
    }

    /// An object `{"items": […]}` of these.
    pub(crate) fn answers_items<T: Shaped>(self) -> Self {
        self.answers_list(&T::SHAPE, false)
    }

    fn answers_list(mut self, shape: &Shape, paged: bool) -> Self {
        let items = json!({"type": "array", "items": self.refer(shape)});
        let schema = if paged {
            json!({
                "type": "object", "required": ["items", "revision"],
                "properties": {
                    "items": items, "next_page_token": refer(&Shape::Text),
                    "revision": refer(&Shape::COUNT),
                },
            })
        } else {
            json!({"type": "object", "required": ["items"], "properties": {"items": items}})
        };
        self.answers_schema(StatusCode::OK, schema)
    }

    fn refer(&mut self, shape: &Shape) -> Value {
        collect(shape, &mut self.schemas);
        refer(shape)
    }
}
