//! Tricky texts, and any text.

use oag_sources::{Format, Kind, Point, parse};
use oag_types::Timestamp;
use proptest::prelude::*;

fn read(text: &str) -> Vec<Point> {
    parse(text, Format::Prometheus, 1_000).unwrap()
}

fn refuse(text: &str, format: Format, line: usize, says: &str) {
    let error = parse(text, format, 10).unwrap_err();
    assert_eq!(error.line, line, "{error}");
    assert!(error.reason.contains(says), "{error}");
}

#[test]
fn the_example_of_the_format_is_read() {
    let points = read(
        r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320

# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.01"} 3102
rpc_duration_seconds{quantile="0.99"} NaN
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
"#,
    );
    assert_eq!(points.len(), 13);
    assert_eq!(points[0].kind, Kind::Counter);
    assert_eq!(points[0].at, Some(Timestamp::from_millis(1_395_066_363_000)));
    assert_eq!(points[2].labels["error"], "Cannot find file:\n\"FILE.TXT\"");
    assert_eq!(points[2].labels["path"], r"C:\DIR\FILE.TXT");
    assert_eq!((points[4].value, points[4].kind), (f64::INFINITY, Kind::Gauge));
    assert!(points[5..9].iter().all(|point| point.kind == Kind::Counter));
    assert_eq!(points[9].kind, Kind::Gauge, "a quantile is a present value");
    assert!(points[10].value.is_nan());
    assert!(points[11..].iter().all(|point| point.kind == Kind::Counter));
}

#[test]
fn openmetrics_has_examples_units_times_in_seconds_and_an_end() {
    let text = "# TYPE foo counter\n# UNIT foo_seconds seconds\n\
        foo_total{a=\"b\"} 17.0 1520879607.789 # {trace_id=\"KOO5S4vxi0o\"} 0.67\n\
        foo_created{a=\"b\"} 1520430000.123\n\
        # TYPE temp gauge\ntemp{} -1e-3\n\
        # TYPE h gaugehistogram\nh_bucket{le=\"1\"} 4 # {} 0.5 1.0\nh_gcount 4\n\
        # TYPE build info\nbuild_info{v=\"#1, {}\"} 1\n\
        {\"dotted.name\",\"la.bel\"=\"x\"} 2\n# EOF\n";
    let points = parse(text, Format::OpenMetrics, 100).unwrap();
    assert_eq!((points[0].value, points[0].kind), (17.0, Kind::Counter));
    assert_eq!(points[0].at, Some(Timestamp::from_millis(1_520_879_607_789)));
    assert_eq!(points[1].kind, Kind::Created);
    assert_eq!((points[2].value, points[2].kind), (-1e-3, Kind::Gauge));
    assert_eq!(points[3].kind, Kind::Gauge);
    assert_eq!(points[5].labels["v"], "#1, {}");
    assert_eq!(
        (points[6].name.as_str(), points[6].labels["la.bel"].as_str()),
        ("dotted.name", "x")
    );
}

#[test]
fn odd_but_allowed() {
    let points =
        read("a{x=\"1\",} 1\r\n\ta  {  y = \"2\" , z=\"\\q\" }\t2\n#\n#TYPE\n# just text\na:b 3");
    assert_eq!(points.len(), 3);
    assert_eq!(points[1].labels["z"], "\\q");
    assert_eq!(points[2].name, "a:b");
    assert_eq!(Format::of("Application/OpenMetrics-Text; version=1.0.0"), Format::OpenMetrics);
    assert_eq!(Format::of("text/plain"), Format::Prometheus);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let plain = Format::Prometheus;
    refuse("a 1\nb", plain, 2, "not a number");
    refuse("1a 1", plain, 1, "name");
    refuse("a{b=\"c} 1", plain, 1, "does not end");
    refuse("a{b=\"c\\", plain, 1, "does not end");
    refuse("a{b=\"1\",b=\"2\"} 1", plain, 1, "twice");
    refuse("a{b} 1", plain, 1, "no value");
    refuse("a{b=\"1\" c=\"2\"} 1", plain, 1, "commas");
    refuse("a{=\"1\"} 1", plain, 1, "no name");
    refuse("a 1 soon", plain, 1, "time");
    refuse("a 1 2 3", plain, 1, "after the value");
    refuse("# TYPE a thing", plain, 1, "does not exist");
    refuse("# TYPE a", plain, 1, "name and a type");
    refuse("{} 1", plain, 1, "name");
    refuse("<html>", plain, 1, "name");
    refuse(&"a 1\n".repeat(11), plain, 11, "more values");
    refuse("a 1\n", Format::OpenMetrics, 1, "missing");
    refuse("", Format::OpenMetrics, 1, "missing");
    refuse("# EOF\na 1", Format::OpenMetrics, 2, "after the end");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*|([a-c_:0-9{}\",= \\\\\n#+.eINT]|TYPE|EOF){0,60}") {
        for format in [Format::Prometheus, Format::OpenMetrics] {
            let _ = parse(&text, format, 100);
        }
    }

    #[test]
    fn what_is_written_is_read(value in any::<f64>(), label in "\\PC{0,20}", at in -1_000_000_i64..) {
        let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let at = at.min(9_000_000_000_000);
        let points = read(&format!("m{{l=\"{escaped}\"}} {value} {at}\n"));
        prop_assert_eq!(&points[0].labels["l"], &label);
        prop_assert_eq!(points[0].at, Some(Timestamp::from_millis(at)));
        prop_assert!(points[0].value == value || (points[0].value.is_nan() && value.is_nan()));
    }
}
