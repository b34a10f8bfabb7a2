from __future__ import annotations

import base64
import json
import time

from tencentcloud.common.credential import OIDCRoleArnCredential, STSAssumeRoleCredential

ROLE = "qcs::cam::uin/100000000001:roleName/deployer"


def token(expires: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"head.{claims}.signature"


def assumed(emulator, **params):
    given = emulator.sts("AssumeRole", RoleArn=ROLE, RoleSessionName="tests", **params)["Credentials"]
    return given["TmpSecretId"], emulator.as_(given["TmpSecretId"], given["TmpSecretKey"], given["Token"])


def test_a_role_is_another_caller_of_the_same_account(emulator):
    _, role = assumed(emulator)
    me, it = emulator.sts("GetCallerIdentity"), role.sts("GetCallerIdentity")
    assert me["AccountId"] == it["AccountId"] == "100000000001"
    assert (me["Type"], it["Type"], it["UserId"]) == ("CAMUser", "CAMRole", "deployer:tests")


def test_a_temporary_key_without_its_token_is_refused(emulator, refused):
    _, role = assumed(emulator)
    with refused("AuthFailure.TokenFailure"):
        emulator.as_(role.credential.secret_id, role.credential.secret_key).sts("GetCallerIdentity")


def test_a_temporary_key_expires(emulator, refused):
    secret_id, role = assumed(emulator, DurationSeconds=60)
    with emulator.cloud.lock:
        emulator.cloud.state.keys[secret_id].expires = time.time() - 1
    with refused("AuthFailure.TokenFailure", "expired"):
        role.tke("DescribeClusters")


def test_a_lifetime_beyond_the_documented_one_is_refused(emulator, refused):
    with refused("InvalidParameter.OverTimeError", "43200"):
        assumed(emulator, DurationSeconds=43201)


def test_a_role_of_another_account_is_not_found(emulator, refused):
    with refused("ResourceNotFound.RoleNotFound"):
        emulator.sts("AssumeRole", RoleArn="qcs::cam::uin/1:roleName/x", RoleSessionName="tests")
    with refused("InvalidParameter.ParamError"):
        emulator.sts("AssumeRole", RoleArn="deployer", RoleSessionName="tests")


def test_the_sdks_own_credentials_are_served(emulator):
    root = emulator.credential
    by_role = STSAssumeRoleCredential(root.secret_id, root.secret_key, ROLE, "tests", endpoint=emulator.url)
    assert emulator.as_(*by_role.get_credential_info()).sts("GetCallerIdentity")["Type"] == "CAMRole"
    by_pod = OIDCRoleArnCredential("ap-guangzhou", "OIDC", token(time.time() + 600), ROLE, "pod", endpoint=emulator.url)
    assert emulator.as_(*by_pod.get_credential_info()).sts("GetCallerIdentity")["UserId"] == "deployer:pod"


def test_an_expired_web_identity_is_refused(emulator, refused):
    late = OIDCRoleArnCredential("ap-guangzhou", "OIDC", token(1), ROLE, "pod", endpoint=emulator.url)
    with refused("InvalidParameter.WebIdentityTokenError"):
        late.get_credential_info()
