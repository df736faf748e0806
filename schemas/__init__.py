"""What an event is: Avro records, topic names and the codec."""
