//! Shapes: what the API description says of a type, as data.
//!
//! A type of the wire is declared with `wire!`, which makes the type and its shape of the same
//! lines. A type of the domain that travels as it is gets its shape with `describe!`, which takes
//! the type apart by name: a field or variant that is added, removed or changed below does not
//! compile here until the description says so too. Shapes are constants; nothing of them runs
//! before the document is written.

#[macro_use]
mod declare;
#[cfg(test)]
mod check;
#[cfg(test)]
mod samples;
mod schema;

use std::collections::BTreeMap;

use oag_types::{
    ActionId, ApprovalId, Digest, FindingId, GenerationId, GroupName, KeyId, KindName, NodeName,
    NotificationId, Permission, PlanId, PrincipalId, Role, ServiceName, StoryId, Tenant, Timestamp,
};
use serde_json::{Map, Value};

pub(crate) use schema::{Schemas, collect, refer};

/// What JSON a type is written as.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Text.
    Text,
    /// A moment, RFC 3339.
    Moment,
    /// True or false.
    Flag,
    /// A whole number: its format, and whether it can be below 0.
    Whole(Option<&'static str>, bool),
    /// A number.
    Number,
    /// Any JSON.
    Anything,
    /// A list of these.
    List(&'static Shape),
    /// An object with any names and these values.
    Map(&'static Shape),
    /// This or null.
    Maybe(&'static Shape),
    /// A type with a name of its own in the document.
    Named(&'static Named),
}

/// A type with a name in the document.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: &'static str,
    /// What it is, line by line.
    pub(crate) about: &'static [&'static str],
    /// JSON text; empty when there is none.
    pub(crate) example: &'static str,
    pub(crate) body: Body,
}

/// What is inside a named type.
#[derive(Debug)]
pub(crate) enum Body {
    /// An object with these fields and no others.
    Fields(&'static [Field]),
    /// One of these.
    Choices(&'static [Choice]),
}

/// A field of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) about: &'static [&'static str],
    pub(crate) shape: Shape,
    /// It may be left out.
    pub(crate) optional: bool,
    /// Its own fields stand in its place.
    pub(crate) flat: bool,
    /// Text; empty when there is none.
    pub(crate) example: &'static str,
}

/// One of several.
#[derive(Debug)]
pub(crate) struct Choice {
    /// As Rust writes it; the wire has it in snake case.
    pub(crate) name: &'static str,
    pub(crate) about: &'static [&'static str],
    /// What it carries.
    pub(crate) carries: Option<Shape>,
}

/// A type that has a shape.
pub(crate) trait Shaped {
    const SHAPE: Shape;
}

impl Shape {
    /// A whole number, of whatever size.
    pub(crate) const COUNT: Self = Self::Whole(None, true);
}

impl Field {
    /// The fields that stand in its place.
    pub(crate) fn stands_for(&self) -> Option<&'static [Field]> {
        match self.shape {
            Shape::Named(Named { body: Body::Fields(fields), .. }) if self.flat => Some(*fields),
            _ => None,
        }
    }

    /// Whether it must be there.
    pub(crate) fn required(&self) -> bool {
        !self.optional && !matches!(self.shape, Shape::Maybe(_))
    }
}

impl Choice {
    /// Its name on the wire.
    pub(crate) fn wire_name(&self) -> String {
        let mut name = String::new();
        for (at, letter) in self.name.char_indices() {
            if letter.is_ascii_uppercase() && at > 0 {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

macro_rules! shapes {
    ($($shape:expr => $($kind:ty),+;)+) => {$($(
        impl Shaped for $kind {
            const SHAPE: Shape = $shape;
        }
    )+)+};
}

shapes! {
    Shape::Text => String, ServiceName, GroupName, KindName, Role, Permission, Tenant, Digest,
        ActionId, ApprovalId, FindingId, GenerationId, NodeName, &'static str, KeyId, NotificationId, PlanId, PrincipalId, StoryId;
    Shape::Moment => Timestamp;
    Shape::Flag => bool;
    Shape::Whole(Some("int32"), true) => i32;
    Shape::Whole(Some("int32"), false) => u16, u32;
    Shape::Whole(Some("int64"), true) => i64;
    Shape::Whole(Some("int64"), false) => u64;
    Shape::Whole(None, false) => usize;
    Shape::Number => f32, f64;
    Shape::Anything => Value;
    Shape::Map(&Shape::Anything) => Map<String, Value>;
    // Several things in a row: JSON schema has no good word for it.
    Shape::List(&Shape::Anything) => (String, u32, String);
}

impl<T: Shaped> Shaped for Vec<T> {
    const SHAPE: Shape = Shape::List(&T::SHAPE);
}

impl<K, T: Shaped> Shaped for BTreeMap<K, T> {
    const SHAPE: Shape = Shape::Map(&T::SHAPE);
}

impl<T: Shaped> Shaped for Option<T> {
    const SHAPE: Shape = Shape::Maybe(&T::SHAPE);
}

impl<T: Shaped> Shaped for Box<T> {
    const SHAPE: Shape = T::SHAPE;
}
