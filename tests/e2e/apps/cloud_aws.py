# SPDX-License-Identifier: Apache-2.0
"""A program that uses SQS and SNS by boto3: cloud_aws.py PORT MODE COUNT. It prints what it got."""
import sys

import boto3

port, mode, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
place = {"endpoint_url": "http://127.0.0.1:%d" % port, "region_name": "eu-west-1",
         "aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret/of+the/test"}
sqs, sns = boto3.client("sqs", **place), boto3.client("sns", **place)
queue = "http://127.0.0.1:%d/123456789012/orders" % port
OWN = "00-%032x-%016x-01"


def send():
    for number in range(0, count, 5):
        print(sqs.send_message(QueueUrl=queue, MessageBody="one \"%d\" <&\\" % number)["MessageId"])
        print(sqs.send_message(
            MessageAttributes={"traceparent": {"DataType": "String",
                                               "StringValue": OWN % (number + 1, number + 1)}},
            MessageBody="own %d" % (number + 1), QueueUrl=queue)["MessageId"])
        batch = [{"Id": str(i), "MessageBody": "batch %d %s" % (i, "x" * 3000)}
                 for i in range(number + 2, number + 5)]
        print(len(sqs.send_message_batch(QueueUrl=queue, Entries=batch)["Successful"]))


def receive():
    got = 0
    while got < count:
        answer = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1,
                                     AttributeNames=["All"], MessageAttributeNames=["All"])
        for message in answer.get("Messages", []):
            print(message["MessageId"], message["Body"])
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            got += 1


def ten():
    """A batch of ten, each with a context of its own, and all of it at once."""
    print(len(sqs.send_message_batch(QueueUrl=queue, Entries=[
        {"Id": str(i), "MessageBody": "own %d" % i, "MessageAttributes": {
            "traceparent": {"DataType": "String", "StringValue": OWN % (i, i)}}}
        for i in range(1, 11)])["Successful"]))
    receive()


def publish():
    for number in range(count):
        print(sns.publish(TopicArn="arn:aws:sns:eu-west-1:123456789012:news",
                          Message="news %d" % number)["MessageId"])


{"send": send, "receive": receive, "publish": publish, "ten": ten}[mode]()
