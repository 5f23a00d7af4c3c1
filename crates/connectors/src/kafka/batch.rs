//! Many messages per call from librdkafka: one call per message costs more than decoding it.
//!
//! The only unsafe code of the connector. All partitions of a reader are forwarded to one queue of its own, which
//! then holds nothing but messages and end-of-partition marks.

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer};
use starweir_model::{Error, Result};

/// Messages taken at once.
const BATCH_MESSAGES: usize = 4096;

/// The queue of a reader's partitions.
pub(super) struct BatchQueue {
    queue: *mut rd::rd_kafka_queue_t,
    /// Keeps the client alive while the queue and its messages are.
    consumer: Arc<BaseConsumer>,
    messages: Vec<*mut rd::rd_kafka_message_t>,
}

// SAFETY: librdkafka's queues and messages may be used from any one thread at a time, and all access goes through
// `&mut self`.
unsafe impl Send for BatchQueue {}

/// One message, valid during the callback it is handed to.
pub(super) struct RawMessage<'a> {
    message: &'a rd::rd_kafka_message_t,
}

impl BatchQueue {
    pub(super) fn new(consumer: Arc<BaseConsumer>) -> Self {
        // SAFETY: the client pointer is valid as long as `consumer`, which we keep.
        let queue = unsafe { rd::rd_kafka_queue_new(consumer.client().native_ptr()) };
        Self { queue, consumer, messages: vec![ptr::null_mut(); BATCH_MESSAGES] }
    }

    /// Lets a partition's messages come here.
    pub(super) fn forward(&self, topic: &str, partition: i32) -> Result<()> {
        let name = CString::new(topic).map_err(|_| Error::user("a topic's name holds a zero byte"))?;
        // SAFETY: all pointers are valid for the calls; the partition queue's reference is given back.
        unsafe {
            let source =
                rd::rd_kafka_queue_get_partition(self.consumer.client().native_ptr(), name.as_ptr(), partition);
            if source.is_null() {
                return Err(Error::internal(format!("topic {topic} partition {partition} has no queue")));
            }
            rd::rd_kafka_queue_forward(source, self.queue);
            rd::rd_kafka_queue_destroy(source);
        }
        Ok(())
    }

    /// Waits up to `wait` for a first message, takes what else is there, at most `max`, and hands each to `each`, in
    /// order per partition. Stops at the first error of `each`; the messages behind it are given up (the caller
    /// fails and starts anew from its offsets).
    pub(super) fn poll(
        &mut self,
        wait: Duration,
        max: usize,
        mut each: impl FnMut(RawMessage<'_>) -> Result<()>,
    ) -> Result<usize> {
        let max = max.min(self.messages.len());
        // librdkafka waits the whole time for a full batch: so wait for one message only, then take what is there.
        let mut count = self.take(Duration::ZERO, 0, max);
        if count == 0 && !wait.is_zero() {
            count = self.take(wait, 0, max.min(1));
            if count > 0 {
                count += self.take(Duration::ZERO, count, max);
            }
        }
        let mut result = Ok(count);
        for message in &mut self.messages[..count] {
            if result.is_ok() {
                // SAFETY: not null and ours until destroyed below.
                let raw = RawMessage { message: unsafe { &**message } };
                if let Err(error) = each(raw) {
                    result = Err(error);
                }
            }
            // SAFETY: destroyed once, and the pointer is forgotten.
            unsafe { rd::rd_kafka_message_destroy(*message) };
            *message = ptr::null_mut();
        }
        result
    }

    /// Fills `messages[from..to]` as far as messages come within `wait`, and says how many came.
    fn take(&mut self, wait: Duration, from: usize, to: usize) -> usize {
        let free = &mut self.messages[from..to.max(from)];
        if free.is_empty() {
            return 0;
        }
        // Less than a millisecond is still a wait.
        let wait_ms = wait.as_micros().div_ceil(1000).min(1000) as i32;
        // SAFETY: `free` is room for as many pointers as said; librdkafka fills the first ones, which are ours then.
        let count = unsafe { rd::rd_kafka_consume_batch_queue(self.queue, wait_ms, free.as_mut_ptr(), free.len()) };
        usize::try_from(count).unwrap_or(0)
    }

    /// The end of a partition as of the last fetch, without asking the broker.
    pub(super) fn log_end(&self, topic: &CStr, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: plain out-parameters.
        let error = unsafe {
            rd::rd_kafka_get_watermark_offsets(
                self.consumer.client().native_ptr(),
                topic.as_ptr(),
                partition,
                &mut low,
                &mut high,
            )
        };
        (error == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl Drop for BatchQueue {
    fn drop(&mut self) {
        // SAFETY: made in `new`, destroyed once.
        unsafe { rd::rd_kafka_queue_destroy(self.queue) };
    }
}

impl RawMessage<'_> {
    pub(super) fn error(&self) -> rd::rd_kafka_resp_err_t {
        self.message.err
    }

    /// librdkafka's words for an error message.
    pub(super) fn error_text(&self) -> String {
        // SAFETY: the function returns a static string.
        let text = unsafe { CStr::from_ptr(rd::rd_kafka_err2str(self.message.err)) };
        text.to_string_lossy().into_owned()
    }

    /// An address that is the same for all messages of a topic, to look the topic up by.
    pub(super) fn topic_address(&self) -> usize {
        self.message.rkt as usize
    }

    pub(super) fn topic(&self) -> String {
        if self.message.rkt.is_null() {
            return String::new();
        }
        // SAFETY: a message's topic outlives it.
        unsafe { CStr::from_ptr(rd::rd_kafka_topic_name(self.message.rkt)) }.to_string_lossy().into_owned()
    }

    pub(super) fn partition(&self) -> i32 {
        self.message.partition
    }

    pub(super) fn offset(&self) -> i64 {
        self.message.offset
    }

    /// None for a tombstone.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        // SAFETY: payload and length belong together.
        (!self.message.payload.is_null())
            .then(|| unsafe { std::slice::from_raw_parts(self.message.payload.cast::<u8>(), self.message.len) })
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        // SAFETY: as for the payload.
        (!self.message.key.is_null())
            .then(|| unsafe { std::slice::from_raw_parts(self.message.key.cast::<u8>(), self.message.key_len) })
    }

    /// Milliseconds since 1970 (−1: none) and what they mean, in Java's words.
    pub(super) fn timestamp(&self) -> (i64, &'static str) {
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid.
        let ms = unsafe { rd::rd_kafka_message_timestamp(self.message, &mut kind) };
        match kind {
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => (ms, "CreateTime"),
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => (ms, "LogAppendTime"),
            _ => (ms, "NoTimestampType"),
        }
    }

    pub(super) fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is valid.
        Some(unsafe { rd::rd_kafka_message_leader_epoch(self.message) }).filter(|e| *e >= 0)
    }

    /// Headers in order; a header may have no value.
    pub(super) fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let mut list = ptr::null_mut();
        let mut headers = Vec::new();
        // SAFETY: the header list belongs to the message; names and values are copied before it goes.
        unsafe {
            let message = ptr::from_ref(self.message);
            if rd::rd_kafka_message_headers(message, &mut list) != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return headers;
            }
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            let mut index = 0;
            while rd::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size)
                == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            {
                index += 1;
                let bytes = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size).to_vec());
                headers.push((CStr::from_ptr(name).to_string_lossy().into_owned(), bytes));
            }
        }
        headers
    }
}
