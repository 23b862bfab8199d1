//! What librdkafka says in place of a record.

use rdkafka::{bindings::rd_kafka_resp_err_t as ResponseCode, error::KafkaError};

/// See the module.
#[derive(Debug)]
pub struct Said {
    pub error: KafkaError,
    /// Below 0: it is said of no partition.
    pub partition: i32,
    /// Where, if it is said of a partition: at its end, the end.
    pub offset: i64,
    /// librdkafka's words for it.
    pub reason: String,
}

impl Said {
    pub(super) fn new(code: ResponseCode, fatal: bool, partition: i32, offset: i64, reason: String) -> Self {
        let error = match code {
            ResponseCode::RD_KAFKA_RESP_ERR__PARTITION_EOF => KafkaError::PartitionEOF(partition),
            _ if fatal => KafkaError::MessageConsumptionFatal(code.into()),
            _ => KafkaError::MessageConsumption(code.into()),
        };
        Self { error, partition, offset, reason }
    }
}
