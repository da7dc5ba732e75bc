// The service that every contender offers, for thriftpy2.

struct Line {
  1: string sku,
  2: i64 qty,
  3: double price,
}

struct Record {
  1: i64 id,
  2: string customer,
  3: string status,
  4: double total,
  5: string currency,
  6: bool paid,
  7: list<Line> lines,
  8: string note,
}

service Echo {
  Record echo_record(1: Record record),
  binary echo_data(1: binary data),
}
