//! Rights on topics, given and taken as Kafka's own tools do; rdkafka's safe interface has no such question.

use rdkafka::{
    bindings::{
        rd_kafka_AclBinding_destroy, rd_kafka_AclBinding_new, rd_kafka_AclBinding_t, rd_kafka_AclOperation_t,
        rd_kafka_AclPermissionType_t, rd_kafka_CreateAcls, rd_kafka_CreateAcls_result_acls, rd_kafka_DeleteAcls,
        rd_kafka_ResourcePatternType_t, rd_kafka_ResourceType_t, rd_kafka_acl_result_error, rd_kafka_error_code,
        rd_kafka_event_CreateAcls_result, rd_kafka_event_destroy, rd_kafka_event_error, rd_kafka_event_t,
        rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll, rd_kafka_queue_t, rd_kafka_resp_err_t,
        rd_kafka_t,
    },
    producer::{BaseProducer, Producer},
};
use std::{ffi::CString, ptr};

pub const READ: rd_kafka_AclOperation_t = rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_READ;
pub const WRITE: rd_kafka_AclOperation_t = rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE;
pub const DESCRIBE: rd_kafka_AclOperation_t = rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_DESCRIBE;
pub const ALLOW: rd_kafka_AclPermissionType_t = rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW;
pub const DENY: rd_kafka_AclPermissionType_t = rd_kafka_AclPermissionType_t::RD_KAFKA_ACL_PERMISSION_TYPE_DENY;

const ANSWERS_WITHIN_MS: i32 = 60_000;

/// Who may, or may not, do what with a topic.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    pub topic: &'a str,
    pub user: &'a str,
    pub operation: rd_kafka_AclOperation_t,
    pub permission: rd_kafka_AclPermissionType_t,
}

/// A binding, which as a filter is the same: destroyed when dropped.
struct Binding(*mut rd_kafka_AclBinding_t);

impl Binding {
    fn of(rule: Rule<'_>) -> Self {
        let text = |text: &str| CString::new(text).expect("no NUL");
        let (topic, user, host) = (text(rule.topic), text(&format!("User:{}", rule.user)), text("*"));
        // SAFETY: the texts live until the end of this function, and are copied; there is no room for an error's text: null, 0.
        let binding = unsafe {
            rd_kafka_AclBinding_new(
                rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC,
                topic.as_ptr(),
                rd_kafka_ResourcePatternType_t::RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                user.as_ptr(),
                host.as_ptr(),
                rule.operation,
                rule.permission,
                ptr::null_mut(),
                0,
            )
        };
        assert!(!binding.is_null(), "{rule:?} is no rule");
        Self(binding)
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // SAFETY: it is nobody else's.
        unsafe { rd_kafka_AclBinding_destroy(self.0) }
    }
}

pub fn give(producer: &BaseProducer, rule: Rule<'_>) {
    let rule = Binding::of(rule);
    let mut list = [rule.0];
    ask(producer, |client, queue| {
        // SAFETY: client and queue are alive, the list has one binding, which is copied; default options: null.
        unsafe { rd_kafka_CreateAcls(client, list.as_mut_ptr(), list.len(), ptr::null(), queue) }
    });
}

pub fn take(producer: &BaseProducer, rule: Rule<'_>) {
    let rule = Binding::of(rule);
    let mut list = [rule.0];
    ask(producer, |client, queue| {
        // SAFETY: as above; a filter is of the same type as a binding.
        unsafe { rd_kafka_DeleteAcls(client, list.as_mut_ptr(), list.len(), ptr::null(), queue) }
    });
}

/// Asks, and waits for an answer that is no error.
fn ask(producer: &BaseProducer, question: impl FnOnce(*mut rd_kafka_t, *mut rd_kafka_queue_t)) {
    let client = producer.client().native_ptr();
    // SAFETY: the client is alive while the producer is borrowed; queue and event are used here alone, and destroyed once.
    unsafe {
        let queue = rd_kafka_queue_new(client);
        question(client, queue);
        let event = rd_kafka_queue_poll(queue, ANSWERS_WITHIN_MS);
        assert!(!event.is_null(), "the broker does not answer");
        assert_eq!(rd_kafka_event_error(event), rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, "the answer");
        each_created_is_well(event);
        rd_kafka_event_destroy(event);
        rd_kafka_queue_destroy(queue);
    }
}

/// # Safety
/// The event is alive.
unsafe fn each_created_is_well(event: *mut rd_kafka_event_t) {
    // SAFETY: of another kind it has no result, which is null; the array has `count` results, which live in the event.
    unsafe {
        let result = rd_kafka_event_CreateAcls_result(event);
        if result.is_null() {
            return;
        }
        let mut count = 0;
        let results = rd_kafka_CreateAcls_result_acls(result, &raw mut count);
        for index in 0..count {
            let code = rd_kafka_error_code(rd_kafka_acl_result_error(*results.add(index)));
            assert_eq!(code, rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR, "a rule");
        }
    }
}
