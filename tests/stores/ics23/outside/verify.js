// Reads {kind, spec, root, proof, key, value} in hex, a line each, and answers true or false.
const {
  ics23,
  iavlSpec,
  tendermintSpec,
  verifyMembership,
  verifyNonMembership,
} = require("@confio/ics23");

const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));

function verify({ kind, spec, root, proof, key, value }) {
  try {
    const known = spec === "iavl" ? iavlSpec : tendermintSpec;
    const read = ics23.CommitmentProof.decode(bytes(proof));
    return kind === "presence"
      ? verifyMembership(read, known, bytes(root), bytes(key), bytes(value))
      : verifyNonMembership(read, known, bytes(root), bytes(key));
  } catch (error) {
    return false;
  }
}

const lines = require("fs").readFileSync(0, "utf8").trim().split("\n");
console.log(JSON.stringify(lines.map((line) => verify(JSON.parse(line)))));
