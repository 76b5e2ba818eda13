//! An entry of the catalogue on the wire.

use oag_pilot::Versioned;
use oag_types::{Dependency, Feature, GroupName, ScalingSpec, ServiceName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

wire! {
    /// An entry of the catalogue of services.
    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[example({"name": "order-service", "group": "shop", "executor": "local",
        "spec": {}, "scaling": {"min_replicas": 2, "max_replicas": 10}})]
    pub(crate) struct Service {
        /// Its name.
        pub(crate) name: ServiceName,
        /// The group it belongs to, for roles and limits.
        pub(crate) group: GroupName,
        /// Which executor carries its actions out.
        pub(crate) executor: String,
        /// What the executor needs to run it.
        #[serde(default)]
        pub(crate) spec: Value,
        /// Services it calls.
        #[serde(default)]
        pub(crate) depends_on: Vec<Dependency>,
        /// How it scales.
        #[serde(default)]
        pub(crate) scaling: ScalingSpec,
        /// Parts that can be shed under pressure.
        #[serde(default)]
        pub(crate) features: Vec<Feature>,
        /// The revision it stands at; in a PUT it stands for `If-Match`.
        #[serde(default)]
        pub(crate) revision: Option<u64>,
    }
}

impl From<Versioned<oag_types::Service>> for Service {
    fn from(found: Versioned<oag_types::Service>) -> Self {
        let oag_types::Service { name, group, executor, spec, depends_on, scaling, features } =
            found.value;
        let revision = Some(found.revision);
        Self { name, group, executor, spec, depends_on, scaling, features, revision }
    }
}

impl Service {
    /// As the catalogue keeps it.
    pub(crate) fn entry(self) -> oag_types::Service {
        let Self { name, group, executor, spec, depends_on, scaling, features, revision: _ } = self;
        oag_types::Service { name, group, executor, spec, depends_on, scaling, features }
    }
}
