# The service that every contender offers, for pycapnp.
@0xb2a5e1c83c1f4d77;

struct Line {
  sku @0 :Text;
  qty @1 :Int64;
  price @2 :Float64;
}

struct Record {
  id @0 :Int64;
  customer @1 :Text;
  status @2 :Text;
  total @3 :Float64;
  currency @4 :Text;
  paid @5 :Bool;
  lines @6 :List(Line);
  note @7 :Text;
}

interface Echo {
  echoRecord @0 (record :Record) -> (record :Record);
  echoData @1 (data :Data) -> (data :Data);
}
