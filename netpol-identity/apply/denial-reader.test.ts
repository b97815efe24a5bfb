import assert from "node:assert/strict";
import { test } from "node:test";
import { SamplePolicies } from "../evaluate/sample-policies.ts";
import { AddressBook } from "./address-book.ts";
import { DenialReader } from "./denial-reader.ts";

test("a worker's denial without an endpoint is read from the store's own book", () => {
  const objects = new SamplePolicies();
  objects.namespace("shop");
  objects.pod("shop/front", { addresses: ["10.0.0.1"] });
  objects.update();
  const { index, store } = objects;
  const reader = new DenialReader({ index, book: new AddressBook(store), identityOf: () => null });
  const told = { client: "10.0.0.1", service: "shop/gone:80", rule: "r", times: 1 };
  const { denial } = reader.worker(told);
  assert.deepEqual(
    [denial.source, denial.destination, denial.port, denial.service],
    ["10.0.0.1", "", 80, "shop/gone"],
  );
});
