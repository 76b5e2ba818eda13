//! The two ways to declare a shape.

/// Types of the wire: each is made as it is written, and its shape of the same lines. Doc comments
/// become descriptions, `#[serde(…)]` says what may be left out, `#[example(…)]` shows one.
macro_rules! wire {
    ($(
        $(#[doc = $about:literal])+
        #[derive($($derive:ident),+)]
        $(#[serde($($outer:tt)*)])?
        $(#[example($($example:tt)*)])?
        $visible:vis struct $name:ident {$(
            $(#[doc = $line:literal])+
            $(#[serde($($inner:tt)*)])?
            $(#[example($field_example:literal)])?
            $field_visible:vis $field:ident: $kind:ty
        ),+ $(,)?}
    )+) => {$(
        $(#[doc = $about])+
        #[derive($($derive),+)]
        $(#[serde($($outer)*)])?
        $visible struct $name {$(
            $(#[doc = $line])+
            $(#[serde($($inner)*)])?
            $field_visible $field: $kind,
        )+}

        impl $crate::shape::Shaped for $name {
            const SHAPE: $crate::shape::Shape = $crate::shape::Shape::Named(&$crate::shape::Named {
                name: stringify!($name),
                about: &[$($about),+],
                example: stringify!($($($example)*)?),
                body: $crate::shape::Body::Fields(&[$($crate::shape::Field {
                    name: wire_name!($field $($($inner)*)?),
                    about: &[$($line),+],
                    shape: <$kind as $crate::shape::Shaped>::SHAPE,
                    optional: is_optional!($($($inner)*)?),
                    flat: is_flat!($($($inner)*)?),
                    example: concat!($($field_example)?),
                }),+]),
            });
        }
    )+};
}

/// Types of the domain that travel as they are: `struct Name = path { field: Type, … }`, with
/// `= optional` after what may be left out and `= flat` after what stands in its place. The
/// compiler compares every line with the type itself, and complains about a missing one.
macro_rules! describe {
    ($(
        $(#[doc = $about:literal])+
        $(#[example($($example:tt)*)])?
        $what:ident $name:ident = $path:path { $($body:tt)* }
    )+) => {$(
        impl $crate::shape::Shaped for $path {
            const SHAPE: $crate::shape::Shape = $crate::shape::Shape::Named(&$crate::shape::Named {
                name: stringify!($name),
                about: &[$($about),+],
                example: stringify!($($($example)*)?),
                body: describe_body!($what { $($body)* }),
            });
        }

        const _: fn($path) = |value| {
            type Described = $path;
            describe_check!($what value { $($body)* });
        };
    )+};
}

macro_rules! describe_body {
    (struct {$(
        $(#[doc = $line:literal])+ $field:ident: $kind:ty $(= $mark:ident)?
    ),+ $(,)?}) => {
        $crate::shape::Body::Fields(&[$($crate::shape::Field {
            name: stringify!($field),
            about: &[$($line),+],
            shape: <$kind as $crate::shape::Shaped>::SHAPE,
            optional: is_optional!($($mark)?),
            flat: is_flat!($($mark)?),
            example: "",
        }),+])
    };
    (enum {$( $(#[doc = $line:literal])+ $choice:ident $(($kind:ty))? ),+ $(,)?}) => {
        $crate::shape::Body::Choices(&[$($crate::shape::Choice {
            name: stringify!($choice),
            about: &[$($line),+],
            carries: carried!($($kind)?),
        }),+])
    };
}

macro_rules! describe_check {
    (struct $value:ident {$(
        $(#[doc = $line:literal])+ $field:ident: $kind:ty $(= $mark:ident)?
    ),+ $(,)?}) => {
        let Described { $($field),+ } = $value;
        $(let _: $kind = $field;)+
    };
    (enum $value:ident {$(
        $(#[doc = $line:literal])+ $choice:ident $(($kind:ty))?
    ),+ $(,)?}) => {
        match $value {
            $(Described::$choice { .. } => {})+
        }
        $($(let _: fn($kind) -> Described = Described::$choice;)?)+
    };
}

macro_rules! is_optional {
    (optional) => {
        true
    };
    (default $($rest:tt)*) => {
        true
    };
    (skip_serializing_if $($rest:tt)*) => {
        true
    };
    ($($other:tt)*) => {
        false
    };
}

macro_rules! is_flat {
    (flat) => {
        true
    };
    (flatten) => {
        true
    };
    ($($other:tt)*) => {
        false
    };
}

macro_rules! wire_name {
    ($field:ident rename = $name:literal $($rest:tt)*) => {
        $name
    };
    ($field:ident $($other:tt)*) => {
        stringify!($field)
    };
}

macro_rules! carried {
    () => {
        None
    };
    ($kind:ty) => {
        Some(<$kind as $crate::shape::Shaped>::SHAPE)
    };
}
