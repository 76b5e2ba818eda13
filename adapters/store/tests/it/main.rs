//! One contract over both databases, and what only one of them promises.

#[cfg(test)]
mod backend;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod postgres_only;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod rate;
#[cfg(test)]
mod records;
#[cfg(test)]
mod sqlite_only;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tls;

/// Runs each case on both databases.
macro_rules! on_both {
    ($($module:ident: $($case:ident),+;)+) => {
        mod on_sqlite {$($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let backend = crate::backend::Backend::sqlite().await;
                crate::$module::$case(&backend).await;
            }
        )+)+}
        mod on_postgres {$($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let backend = crate::backend::Backend::postgres().await;
                crate::$module::$case(&backend).await;
            }
        )+)+}
    };
}

on_both! {
    records: a_batch_is_done_whole_or_not_at_all, expectations_guard_a_batch,
        records_are_listed_in_pages, revisions_strictly_grow, the_feed_tells_every_change,
        the_feed_is_bounded, tenants_see_only_their_own, wrong_commands_are_refused;
    tasks: each_task_is_claimed_once, leases_end_and_are_renewed, a_task_is_completed_once,
        older_epochs_are_fenced, the_same_task_is_not_enqueued_twice;
    ledger: the_tree_is_that_of_its_rows, a_bad_command_fails_alone, an_erased_row_stays_proven,
        every_row_can_be_proven, a_pass_from_outside_sees_one_moment;
    groups: commands_that_wait_share_a_commit, a_caller_that_goes_away_takes_nobody_with_it,
        a_group_does_what_its_commands_do_one_by_one, a_refused_command_makes_no_tenant,
        a_refused_command_holds_nothing;
    backup: a_restore_has_everything_and_does_nothing, a_backup_is_of_one_moment,
        only_whole_backups_are_restored;
    migrations: opening_twice_changes_nothing, a_newer_schema_is_refused,
        an_altered_migration_is_refused, a_store_of_the_first_schema_is_brought_up_to_date,
        tiles_of_nodes_are_kept_and_brought_up_to_date;
}
