//! Prepared scripts.

use oag_pilot::{ExecError, Operation};
use serde_json::json;

use crate::harness::Bench;

fn script(name: &str, args: &[&str]) -> Operation {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Operation::RunScript { script: name.to_owned(), args }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_runs_once_per_key_without_a_shell_and_in_time() {
    let more = json!({ "scripts": {
        "show": { "command": ["/bin/sh", "-c", "echo \"$OPENAUTOGLM_KEY:$1\"", "show"] },
        "hang": { "command": ["/bin/sh", "-c", "sleep 60 & sleep 60"], "timeout_ms": 200 },
        "fail": { "command": ["/bin/sh", "-c", "echo no >&2; exit 4"] },
    }});
    let bench = Bench::with_shop(more).await;
    let receipt = bench.apply(script("show", &["$(id); x"]), "k1").await.unwrap();
    assert_eq!(receipt.after["stdout"], "k1:$(id); x\n");
    let again = bench.apply(script("show", &["other"]), "k1").await.unwrap();
    assert!(!again.changed);
    assert_eq!(again.after["stdout"], "k1:$(id); x\n", "it did not run again");

    let late = bench.apply(script("hang", &[]), "k2").await.unwrap_err();
    assert!(matches!(&late, ExecError::Failed(why) if why.contains("200 ms")), "{late:?}");
    let failed = bench.apply(script("fail", &[]), "k3").await.unwrap_err();
    assert!(failed.to_string().contains("exit status: 4: no"), "{failed}");
    let again = bench.apply(script("fail", &[]), "k3").await.unwrap_err();
    assert!(again.to_string().contains("tried before"), "{again}");
    let unknown = bench.apply(script("nope", &[]), "k4").await.unwrap_err();
    assert!(unknown.to_string().contains("fail, hang, show"), "{unknown}");
    bench.stop().await;
}
