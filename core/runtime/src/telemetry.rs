//! Logs to standard error, as text or JSON, and traces over OTLP when configured.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people at a terminal.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// What to log and where to send traces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// How log lines look.
    pub format: LogFormat,
    /// Filter in the syntax of `tracing`, such as `info,oag_pilot=debug`.
    pub filter: String,
    /// OTLP endpoint for traces over HTTP, such as `http://127.0.0.1:4318/v1/traces`; none: no
    /// traces are sent.
    pub otlp_endpoint: Option<String>,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned(), otlp_endpoint: None }
    }
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not valid.
    #[error("the log filter '{0}' is not valid: use for example 'info' or 'info,oag_pilot=debug'")]
    Filter(String),
    /// The exporter cannot be built.
    #[error("traces cannot be sent to {endpoint}: {reason}")]
    Exporter {
        /// Where to.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// This build has no OTLP exporter.
    #[error("this build cannot send traces: it was built without the feature 'otlp'")]
    NoExporter,
    /// A subscriber is set already.
    #[error("logging was started twice")]
    Twice,
}

/// Keeps telemetry alive; sends what is left when dropped.
#[must_use]
pub struct TelemetryGuard {
    #[cfg(feature = "otlp")]
    provider: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Drop for TelemetryGuard {
    fn drop(&mut self) {
        #[cfg(feature = "otlp")]
        if let Some(provider) = self.provider.take() {
            // Nothing can be done about spans that cannot be sent while stopping.
            let _ = provider.shutdown();
        }
    }
}

/// Starts logging for this process.
///
/// # Errors
/// When the filter is wrong, the exporter cannot be built, or it was started already.
pub fn init_telemetry(config: &TelemetryConfig) -> Result<TelemetryGuard, TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|_| TelemetryError::Filter(config.filter.clone()))?;
    let lines = match config.format {
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
            layer.with_ansi(colours).compact().boxed()
        }
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .json()
            .flatten_event(true)
            .boxed(),
    };
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);

    #[cfg(feature = "otlp")]
    {
        let provider = config.otlp_endpoint.as_deref().map(exporter).transpose()?;
        let traces = provider.as_ref().map(|provider| {
            use opentelemetry::trace::TracerProvider;
            tracing_opentelemetry::layer().with_tracer(provider.tracer("openautoglm"))
        });
        subscriber.with(traces).try_init().map_err(|_| TelemetryError::Twice)?;
        Ok(TelemetryGuard { provider })
    }
    #[cfg(not(feature = "otlp"))]
    {
        if config.otlp_endpoint.is_some() {
            return Err(TelemetryError::NoExporter);
        }
        subscriber.try_init().map_err(|_| TelemetryError::Twice)?;
        Ok(TelemetryGuard {})
    }
}

#[cfg(feature = "otlp")]
fn exporter(endpoint: &str) -> Result<opentelemetry_sdk::trace::SdkTracerProvider, TelemetryError> {
    use opentelemetry_otlp::WithExportConfig;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| TelemetryError::Exporter {
            endpoint: endpoint.to_owned(),
            reason: error.to_string(),
        })?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("openautoglm").build();
    Ok(opentelemetry_sdk::trace::SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}
